#!/usr/bin/env bash
# Installs the pinned llama.cpp: its source (headers, and the code for -DHYPURA_LLAMA=source) and the prebuilt
# libraries of the platform named by $1 (default: this machine's; none: source only). Idempotent; needs git and npm.
set -euo pipefail
cd "$(dirname "$0")/.."

platform=${1:-}
if [ -z "$platform" ]; then
  case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) platform=linux-x64 ;;
    Linux-aarch64) platform=linux-arm64 ;;
    Darwin-arm64) platform=mac-arm64-metal ;;
    *) echo "No prebuilt llama.cpp for $(uname -sm): configure with -DHYPURA_LLAMA=source." >&2; platform=none ;;
  esac
fi

scripts/npm-install.sh llama-source
[ "$platform" = none ] || scripts/npm-install.sh "llama-$platform"

# The package carries one release's source as a git bundle.
package=deps/llama-source/node_modules/node-llama-cpp
if ! cmp -s deps/llama-source/package-lock.json deps/llama.cpp/.installed-lock; then
  rm -rf deps/llama.cpp
  git -c advice.detachedHead=false clone --quiet --no-hardlinks "$package/llama/gitRelease.bundle" deps/llama.cpp
  cp deps/llama-source/package-lock.json deps/llama.cpp/.installed-lock
fi
