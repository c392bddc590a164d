#!/usr/bin/env bash
# Models of the shapes and vocabularies that people have, cut to 5 to 8 GB by layers, one after the other: prompts of 32,
# 128, 512 and 2,048 tokens and decoding at 35 % of their bytes, against plain llama.cpp with mapped weights; and a model
# whose table of embeddings is four times the budget. usage: bench/shapes.sh [--keep] [--only NAME]... [FLAGS...]
# FLAGS go to hypura-bench (--repeat, --tokens, --scenario). --only: of the names below, all without it. Models are made
# under HYPURA_BENCH_DIR [build/bench-models] and removed after use unless --keep is given; HYPURA_BUILD is the build
# folder [build/release]. Results: build/bench/shapes/NAME.{md,json}.
set -euo pipefail
cd "$(dirname "$0")/.."

models=${HYPURA_BENCH_DIR:-build/bench-models}
bin=${HYPURA_BUILD:-build/release}/bin
results=build/bench/shapes
vocabularies=deps/llama.cpp/models/ggml-vocab
keep=
only=()
flags=()
while [ $# -gt 0 ]; do
  case $1 in
    --keep) keep=1 ;;
    --only) only+=("$2") && shift ;;
    *) flags+=("$1") ;;
  esac
  shift
done
mkdir -p "$models" "$results"
. bench/models.sh

wanted() {
  [ ${#only[@]} -eq 0 ] || [[ " ${only[*]} " == *" $1 "* ]]
}

# named SCENARIO: it, unless the caller's flags name others.
named() {
  [[ " ${flags[*]} " == *" --scenario "* ]] || echo "--scenario $1"
}

# shape NAME moe|dense SCENARIO BYTES FLAGS...: the bytes are what the file needs at most.
shape() {
  local name=$1 kind=$2 scenario=$3 bytes=$4
  shift 4
  wanted "$name" || return 0
  make_model "$models/$name.gguf" "$bytes" "$@"
  rm -f "$results/$name".{md,json}
  # shellcheck disable=SC2046 # two words, or none
  "$bin/hypura-bench" "--$kind" "$models/$name.gguf" $(named "$scenario") "${flags[@]}" \
    --json "$results/$name.json" --markdown "$results/$name.md" || status=$?
  [ -n "$keep" ] || rm -f "$models/$name.gguf"
  if [ -e "$results/$name.md" ]; then
    printf '\n# %s\n\n' "$name"
    sed -n '/^## /,$p' "$results/$name.md"
  fi
}

status=0
# Qwen3-30B-A3B: 128 experts of 768, 152k tokens.
shape qwen3-30b moe shape 7000000000 --arch qwen3moe --type Q4_K_M --embedding 2048 --heads 32 --kv-heads 4 \
  --experts 128 --experts-used 8 --expert-ff 768 --layers 16 --skew 1 --vocab $vocabularies-qwen2.gguf
# gpt-oss-20b: 32 experts of 2880 with biases, 201k tokens (padded).
shape gpt-oss-20b moe shape 7500000000 --arch gpt-oss --type MXFP4_MOE --embedding 2880 --heads 64 --kv-heads 8 \
  --experts 32 --experts-used 4 --expert-ff 2880 --layers 12 --skew 1 \
  --vocab $vocabularies-llama-bpe.gguf --vocab-tokens 201088
# GLM-4.5-Air: 128 experts of 1408 and a shared one, the first layer dense, 152k tokens.
shape glm-4.5-air moe shape 8500000000 --arch glm4moe --type Q4_K_M --embedding 4096 --heads 96 --kv-heads 8 \
  --ff 10944 --experts 128 --experts-used 8 --expert-ff 1408 --layers 5 --skew 1 --vocab $vocabularies-qwen2.gguf
# DeepSeek-V3: 256 experts of 2048 and a shared one, MLA, the first layer dense, 129k tokens (padded).
shape deepseek-v3 moe shape 9000000000 --arch deepseek2 --type Q2_K --embedding 7168 --heads 128 --ff 18432 \
  --experts 256 --experts-used 8 --expert-ff 2048 --layers 3 --skew 1 \
  --vocab $vocabularies-deepseek-llm.gguf --vocab-tokens 129280
# Qwen3-Next: 512 experts of 512 and a shared one, a recurrent state in three layers of four, 152k tokens.
shape qwen3-next moe shape 7500000000 --arch qwen3next --type Q4_K_M --embedding 2048 --heads 16 --kv-heads 2 \
  --experts 512 --experts-used 10 --expert-ff 512 --layers 6 --skew 1 --vocab $vocabularies-qwen2.gguf
# Llama-3-8B, whole: 128k tokens.
shape llama-3-8b dense shape 6000000000 --arch dense --type Q4_K_M --embedding 4096 --heads 32 --kv-heads 8 --ff 14336 \
  --layers 32 --vocab $vocabularies-llama-bpe.gguf
# Llama-2-7B's vocabulary of 32k tokens on layers of a 70B.
shape llama-70b dense shape 7500000000 --arch dense --type Q4_K_M --embedding 8192 --heads 64 --kv-heads 8 --ff 28672 \
  --layers 12 --vocab $vocabularies-llama-spm.gguf
# Gemma 4's two tables of 262k tokens; that of the embeddings for every layer is four fifths of the file.
shape gemma-4 dense table 9000000000 --arch gemma4 --type Q4_0 --embedding 1536 --heads 8 --kv-heads 1 --ff 6144 \
  --layers 24 --per-layer 1664 --vocab $vocabularies-gemma-4.gguf
exit "$status"
