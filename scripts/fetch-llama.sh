#!/usr/bin/env bash
# fetch-llama.sh [--models] [--code] [PLATFORM]: installs the pinned llama.cpp: its headers in deps/llama.cpp, and the
# prebuilt libraries of the platform (default: this machine's; none: no libraries). With --models also the chat templates
# and vocabularies that the tests use, with --code what -DHYPURA_LLAMA=source compiles. Idempotent; needs git and npm.
set -euo pipefail
cd "$(dirname "$0")/.."

source=deps/llama.cpp
have() { # a part, as it lies in deps/llama.cpp
  case $1 in
    models) [ -d $source/models/templates ] ;;
    code) [ -e $source/CMakeLists.txt ] ;;
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
  case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) platform=linux-x64 ;;
    Linux-aarch64) platform=linux-arm64 ;;
    Darwin-arm64) platform=mac-arm64-metal ;;
    *) echo "No prebuilt llama.cpp for $(uname -sm): configure with -DHYPURA_LLAMA=source." >&2; platform=none ;;
  esac
fi
[ "$platform" = none ] || scripts/npm-install.sh "llama-$platform"

# The package carries one release's source as a git bundle, which is all that is wanted of it. What is kept of that is what
# was asked for, now or before: without tests 3 MB of 190. What is asked for later is fetched again.
complete=yes
cmp -s deps/llama-source/package-lock.json $source/.installed-lock || complete=
for part in ${wanted[@]+"${wanted[@]}"}; do have "$part" || complete=; done
[ -z "$complete" ] || exit 0

for part in models code; do ! have $part || wanted+=($part); done
paths=(LICENSE ':(glob)include/*.h' ':(glob)ggml/include/*.h' ':(glob)ggml/src/*.h' ':(glob)src/*.h' ':(glob)common/**/*.h'
  vendor/nlohmann)
# Two thirds of the whole are what no build of ours reads.
[[ " ${wanted[*]-} " != *" code "* ]] || paths=(. ':!docs' ':!media' ':!tools' ':!benches' ':!examples' ':!models')
scripts/npm-install.sh llama-source
rm -rf $source $source.git
git clone --quiet --bare --no-hardlinks deps/llama-source/node_modules/node-llama-cpp/llama/gitRelease.bundle $source.git
rm -rf deps/llama-source/node_modules
mkdir $source
git -C $source.git archive HEAD -- "${paths[@]}" | tar -x -C $source
[[ " ${wanted[*]-} " != *" models "* ]] || git -C $source.git archive HEAD -- models | tar -x -C $source
rm -rf $source.git
cp deps/llama-source/package-lock.json $source/.installed-lock
