#!/usr/bin/env bash
# fetch-llama.sh [--models] [--code] [PLATFORM]: installs the llama.cpp that is pinned for the platform (default: this
# machine's; deps/llama-pins.txt): its headers in the folder that `llama-pin.sh source` names, and the prebuilt libraries
# (PLATFORM none: no libraries). With --models also the chat templates, vocabularies and models of every architecture that
# the tests use, with --code what -DHYPURA_LLAMA=source compiles. Idempotent; needs git and npm.
set -euo pipefail
cd "$(dirname "$0")/.."

have() { # a part, as it lies in the source's folder
  case $1 in
    rpc) [ -e $source/ggml/src/ggml-rpc/ggml-rpc.cpp ] ;;
    models)
      [ -d $source/models/templates ] && [ -e $source/tests/test-llama-archs.cpp ] && [ -e $source/src/llama-vocab.cpp ]
      ;;
    code) [ -e $source/ggml/CMakeLists.txt ] ;;
  esac
}

wanted=()
while [[ "${1:-}" == --* ]]; do
  case $1 in
    --models | --code) wanted+=("${1#--}") ;;
    *) echo "fetch-llama.sh does not know $1: it takes --models and --code." >&2; exit 2 ;;
  esac
  shift
done
platform=${1:-}
if [ -z "$platform" ]; then
  platform=$(scripts/llama-pin.sh machine)
  [ "$platform" != none ] || echo "No prebuilt llama.cpp for $(uname -sm): configure with -DHYPURA_LLAMA=source." >&2
fi
[ "$platform" = none ] || scripts/npm-install.sh "llama-$platform"

source=$(scripts/llama-pin.sh source "$platform")
version=$(scripts/llama-pin.sh version "$platform")
# What is kept of the source is what was asked for, now or before: without tests 3 MB of 190. What is asked for later is
# fetched again.
complete=yes
[ "$(cat "$source/.version" 2>/dev/null)" = "$version" ] || complete=
for part in rpc ${wanted[@]+"${wanted[@]}"}; do have "$part" || complete=; done
[ -z "$complete" ] || exit 0

for part in models code; do ! have $part || wanted+=($part); done
paths=(LICENSE CMakeLists.txt ':(glob)include/*.h' ':(glob)ggml/include/*.h' ':(glob)ggml/src/*.h' ':(glob)src/*.h'
  ':(glob)common/**/*.h' vendor/nlohmann ggml/src/ggml-rpc)
# Two thirds of the whole are what no build of ours reads.
[[ " ${wanted[*]-} " != *" code "* ]] || paths=(. ':!docs' ':!media' ':!tools' ':!benches' ':!examples' ':!models')
rm -rf "$source" "$source".{bundle,git}
scripts/llama-pin.sh bundle "$platform" "$source.bundle"
git clone --quiet --bare "$source.bundle" "$source.git"
mkdir "$source"
git -C "$source.git" archive HEAD -- "${paths[@]}" | tar -x -C "$source"
if [[ " ${wanted[*]-} " == *" models "* ]]; then
  git -C "$source.git" archive HEAD -- models tests/test-llama-archs.cpp src/llama-vocab.cpp | tar -x -C "$source"
fi
rm -rf "$source".{bundle,git}
echo "$version" > "$source/.version"
