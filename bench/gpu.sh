#!/usr/bin/env bash
# All that is to be known of a GPU, in one run of ten minutes: its speeds (hypura profile), the tests that compare bits on
# it, and its tiers against plain llama.cpp under one cap of VRAM. What fails, and what no time was left for, is named at the end; the
# exit code is 1 then. Makes the models that it needs, once (16 GB of disk).
# usage: bench/gpu.sh [--device NAME] [--within SECONDS] [--only PART]... [FLAGS...]
# --device: by ggml's name [CUDA0]. --within: no part goes on for longer [570]. --only: of the parts below, in their order,
# all without it. FLAGS go to hypura-gpu-bench (--repeat [3], --tokens, --threads, --ubatch, --own). HYPURA_BENCH_DIR: where
# models are kept [build/bench-models]. HYPURA_BUILD: the build folder [build/release]. Results:
# build/bench/gpu/PART.{log,json,md}.
set -euo pipefail
cd "$(dirname "$0")/.."

parts=(profile products exact moe-25-ram-50 moe-50 moe-25 dense-50 moe-100)
models=${HYPURA_BENCH_DIR:-build/bench-models}
bin=${HYPURA_BUILD:-build/release}/bin
results=build/bench/gpu
device=CUDA0
within=570
only=()
flags=()
while [ $# -gt 0 ]; do
  case $1 in
    --device) device=$2 && shift ;;
    --within) within=$2 && shift ;;
    --only) only+=("$2") && shift ;;
    *) flags+=("$1") ;;
  esac
  shift
done
for part in "${only[@]}"; do
  [[ " ${parts[*]} " == *" $part "* ]] || { echo "$0: there is no part '$part': ${parts[*]}" >&2 && exit 2; }
done
mkdir -p "$models" "$results"
. bench/models.sh
export HYPURA_TEST_GPU=$device

# A part of the device that could not be measured is a failure here.
profile() {
  "$bin/hypura" devices
  local told
  told=$("$bin/hypura" profile --gpu "$device" --force --json 2>&1 >"$results/profile.json")
  printf '%s\n' "$told"
  "$bin/hypura" profile --gpu "$device" | sed -n "/^$device: /,\$p"
  [[ $told != *"was measured without"* ]]
}

# in_shards COUNT PROGRAM FILTER: tests in so many processes at once, each with a cache folder of its own. Names what
# failed, and ends with how many tests there were of each outcome.
in_shards() {
  local i pids=() failed=0 logs
  logs=$(mktemp -d)
  for ((i = 0; i < $1; i++)); do
    GTEST_TOTAL_SHARDS=$1 GTEST_SHARD_INDEX=$i XDG_CACHE_HOME=$logs/cache.$i \
      "$bin/$2" --gtest_filter="$3" >"$logs/$i.log" 2>&1 &
    pids+=($!)
  done
  for i in "${!pids[@]}"; do
    wait "${pids[$i]}" || { failed=1 && tail -n 3 "$logs/$i.log"; }
  done
  grep -hE '^\[  FAILED  \] .*ms\)$' "$logs"/*.log || true
  for outcome in '       OK' '  FAILED ' '  SKIPPED'; do
    echo "$2: $(cat "$logs"/*.log | grep -cE "^\[$outcome ?\] .*ms\)\$" || true)$(tr '[:upper:]' '[:lower:]' <<<" ${outcome// /}")"
  done
  rm -rf "$logs"
  return $failed
}

# Blocks of experts: from slots, brought ahead, whole, some at a time, shared with the processors.
products() {
  in_shards 3 backend_test '*Gpu*/Gpu:DeviceSpeedTest.*'
}

# Whole models' logits against plain llama.cpp's on the same device.
exact() {
  in_shards 8 generate_slow_test '*Gpu*-*stories*'
}

# scenario NAME: hypura-gpu-bench over the models that it is for.
scenario() {
  local its=("$models/moe6g.gguf" "$models/moe128.gguf")
  if [[ $1 == dense-* ]]; then
    its=("$models/dense3g.gguf")
    make_model "${its[0]}" 3400000000 --arch dense --type Q4_0 --size 3G
  else
    make_model "${its[0]}" 6000000000 --arch qwen3moe --type Q4_0 --size 5.3G --skew 1
    make_model "${its[1]}" 6000000000 --arch qwen3moe --type Q4_K --size 5.3G --skew 1 --experts 128 --experts-used 8 \
      --expert-ff 768
  fi
  rm -f "$results/$1".{json,md}
  "$bin/hypura-gpu-bench" "${its[@]}" --device "$device" --scenario "$1" --json "$results/$1.json" "${flags[@]}" |
    tee "$results/$1.md"
}

# In a process of its own, so that a crash is that part's, and ends when its time is over.
if [ -n "${HYPURA_GPU_PART:-}" ]; then
  case $HYPURA_GPU_PART in
    profile | products | exact) "$HYPURA_GPU_PART" ;;
    *) scenario "$HYPURA_GPU_PART" ;;
  esac
  exit
fi

failed=()
late=()
for part in "${parts[@]}"; do
  [ ${#only[@]} -eq 0 ] || [[ " ${only[*]} " == *" $part "* ]] || continue
  left=$((within - SECONDS))
  if [ "$left" -le 0 ]; then
    late+=("$part")
    continue
  fi
  printf '\n== %s, after %s s\n' "$part" "$SECONDS"
  code=0
  HYPURA_GPU_PART=$part timeout "$left" bash "$PWD/bench/gpu.sh" --device "$device" "${flags[@]}" 2>&1 |
    tee "$results/$part.log" || code=$?
  [ "$code" -eq 0 ] || failed+=("$part ($code)") # 124: its time was over
done
[ ${#failed[@]} -eq 0 ] || echo "Failed: ${failed[*]}"
[ ${#late[@]} -eq 0 ] || echo "No time was left for: ${late[*]}"
[ ${#failed[@]} -eq 0 ] && [ ${#late[@]} -eq 0 ]
