#!/usr/bin/env bash
# Makes the models that the benchmark of a GPU needs (16 GB of disk, once) and runs it, in some ten minutes; arguments go
# to hypura-gpu-bench (--device, default CUDA0).
# HYPURA_BENCH_DIR: where the models are kept [build/bench-models]. HYPURA_BUILD: the build folder [build/release].
set -euo pipefail
cd "$(dirname "$0")/.."

models=${HYPURA_BENCH_DIR:-build/bench-models}
bin=${HYPURA_BUILD:-build/release}/bin
results=build/bench
mkdir -p "$models" "$results"

. bench/models.sh
make_model "$models/moe6g.gguf" 6000000000 --arch qwen3moe --type Q4_0 --size 5.3G --skew 1
make_model "$models/moe128.gguf" 6000000000 --arch qwen3moe --type Q4_K --size 5.3G --skew 1 --experts 128 --experts-used 8 --expert-ff 768
make_model "$models/dense3g.gguf" 3400000000 --arch dense --type Q4_0 --size 3G

"$bin/hypura-gpu-bench" "$models/moe6g.gguf" "$models/moe128.gguf" "$models/dense3g.gguf" \
  --json "$results/gpu.json" "$@" | tee "$results/gpu.md"
