#!/usr/bin/env bash
# fuzz.sh SECONDS [NAME...]: runs each fuzz target (or those named) for that long, as many at once as there
# are processors. Starts from tests/fuzz/corpus/NAME, with the words of tests/fuzz/NAME.dict where there are some. Inputs
# that reach new code are kept in build/fuzz/corpus/NAME, one that fails in build/fuzz/findings. To see a finding again:
# build/asan-ubsan/bin/NAME_fuzz FILE.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=$1
shift

names=("$@")
if [ $# -eq 0 ]; then
  for source in tests/fuzz/*_fuzz.cpp; do
    name=${source##*/}
    names+=("${name%_fuzz.cpp}")
  done
fi

fuzz_one() { # seconds, name
  local seconds=$1 name=$2 log=build/fuzz/$2.log words=tests/fuzz/$2.dict
  mkdir -p "build/fuzz/corpus/$name" build/fuzz/findings
  # -rss_limit_mb and -timeout: neither a body nor a file of some KiB may take more.
  if "build/asan-ubsan/bin/${name}_fuzz" -max_total_time="$seconds" -artifact_prefix="build/fuzz/findings/$name-" \
    -entropic=0 -timeout=30 -rss_limit_mb=4096 -print_final_stats=1 -max_len=1048576 $([ ! -f "$words" ] || echo "-dict=$words") \
    "build/fuzz/corpus/$name" "tests/fuzz/corpus/$name" >"$log" 2>&1; then
    echo "fuzz $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs in $seconds s, no finding"
  else
    tail -n 60 "$log"
    echo "fuzz $name: a finding; the whole log is in $log"
    return 1
  fi
}
export -f fuzz_one
export UBSAN_OPTIONS=print_stacktrace=1 ASAN_OPTIONS=detect_stack_use_after_return=1

printf '%s\n' "${names[@]}" | xargs -P "$(nproc)" -I{} bash -c 'fuzz_one "$0" {}' "$seconds"
