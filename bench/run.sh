#!/usr/bin/env bash
# Makes the models that the benchmark needs (19 GB of disk, once) and runs it; arguments go to hypura-bench.
# HYPURA_BENCH_DIR: where the models are kept [build/bench-models]. HYPURA_BUILD: the build folder [build/release].
# HYPURA_BENCH_PACKED: when set, the MoE and the dense model are read from repacked copies (12 GB more).
set -euo pipefail
cd "$(dirname "$0")/.."

models=${HYPURA_BENCH_DIR:-build/bench-models}
bin=${HYPURA_BUILD:-build/release}/bin
results=build/bench
mkdir -p "$models" "$results"

. bench/models.sh
make_model "$models/moe6g.gguf" 6000000000 --arch qwen3moe --type Q4_0 --size 5.3G --skew 1
make_model "$models/dense6g.gguf" 6700000000 --arch dense --type Q4_0 --size 6G
make_model "$models/quiet6g.gguf" 6700000000 --arch dense --type Q4_0 --size 6G --quiet-after 2
make_model "$models/quiet-draft.gguf" 400000000 --arch dense --type Q4_0 --size 6G --quiet-after 2 --keep-layers 2

if [ -n "${HYPURA_BENCH_PACKED:-}" ]; then
  for model in moe6g dense6g; do
    [ -e "$models/$model.gguf.packed" ] || "$bin/hypura" repack --force "$models/$model.gguf"
  done
fi

rm -f "$results/results.md" "$results/results.json"
status=0
"$bin/hypura-bench" --moe "$models/moe6g.gguf" --dense "$models/dense6g.gguf" --stories models/hypura-stories-moe.gguf \
  --target "$models/quiet6g.gguf" --draft "$models/quiet-draft.gguf" --stories-draft models/hypura-stories-draft.gguf \
  --json "$results/results.json" --markdown "$results/results.md" "$@" || status=$?
[ ! -e "$results/results.md" ] || cat "$results/results.md"
exit "$status"
