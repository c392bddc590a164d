#!/usr/bin/env bash
# fetch-llama.sh [--models] [PLATFORM]: installs the pinned llama.cpp, its source (headers, and the code for
# -DHYPURA_LLAMA=source) in deps/llama.cpp and the prebuilt libraries of the platform (default: this machine's; none:
# source only). With --models also the chat templates and vocabularies that the tests use. Idempotent; needs git and npm.
set -euo pipefail
cd "$(dirname "$0")/.."

models=
if [ "${1:-}" = --models ]; then
  models=yes
  shift
fi
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

# The package carries one release's source as a git bundle, which is all that is wanted of it.
source=deps/llama.cpp
if ! cmp -s deps/llama-source/package-lock.json $source/.installed-lock; then
  scripts/npm-install.sh llama-source
  rm -rf $source
  git clone --quiet --no-checkout --no-hardlinks \
    deps/llama-source/node_modules/node-llama-cpp/llama/gitRelease.bundle $source
  # Two thirds of it are what no build of ours reads.
  git -C $source sparse-checkout set --no-cone '/*' '!/docs/' '!/models/' '!/media/' '!/tools/' '!/benches/' '!/examples/'
  git -C $source -c advice.detachedHead=false checkout --quiet
  cp deps/llama-source/package-lock.json $source/.installed-lock
  rm -rf deps/llama-source/node_modules
fi
if [ -n "$models" ] && [ ! -d $source/models/templates ]; then
  git -C $source sparse-checkout add /models/
fi
