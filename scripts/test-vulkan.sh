#!/usr/bin/env bash
# test-vulkan.sh BUILD_FOLDER: tests of backend/gpu/ over Vulkan: on the first GPU that its drivers have, and without one
# on the processor, by Mesa's lavapipe. Exits with 77, which CTest takes for skipped, where something it needs is
# missing: scripts/install-packages.sh vulkan and scripts/npm-install.sh llama-linux-x64-vulkan bring it.
set -euo pipefail
build=$(realpath "$1")
cd "$(dirname "$0")/.."
library=$PWD/deps/llama-linux-x64-vulkan/node_modules/@node-llama-cpp/linux-x64-vulkan/bins/linux-x64-vulkan/libggml-vulkan.so

if [ ! -e "$library" ] || [[ "$(ldconfig -p)" != *"libvulkan.so.1 "* ]] ||
  ! compgen -G '/usr/share/vulkan/icd.d/*.json' >/dev/null; then
  echo "Skipped: llama.cpp's Vulkan library, the Vulkan loader or a Vulkan driver is missing."
  exit 77
fi
export GGML_BACKEND_PATH=$library GGML_VK_VISIBLE_DEVICES=0 # named, or ggml passes over the processor
# Shaders take a minute or two to compile; kept, seconds.
export MESA_SHADER_CACHE_DIR=${MESA_SHADER_CACHE_DIR:-$HOME/.cache/hypura-build/mesa}
mkdir -p "$MESA_SHADER_CACHE_DIR"

# Each in a process of its own, and with one size of graph: Mesa 22.3 (Debian 12) corrupts its heap where ggml makes more
# pipelines for a device of which there has been another backend, by ggml alone too.
for test in WhatIsInSlotsIsNotBroughtAgain TokensThatChooseTooManyBringWholeLayersToo BackendsOfSeveralContextsShareTheSlots \
  TheDeviceAnswersAsTheInnerOneButForWhatIsStreamed; do
  started=$SECONDS
  output=$("$build/bin/backend_test" --gtest_brief=1 --gtest_filter="Over/GpuExecutorTest.$test/Gpu" 2>&1) || {
    printf '%s\n' "$output"
    exit 1
  }
  case $output in
    *"PASSED  ] 1 test."*) echo "$test: $((SECONDS - started)) s" ;;
    *"SKIPPED ] 1 test."*) echo "Skipped: Vulkan has no device here." && exit 77 ;;
    *) printf '%s\n' "$output" "There is no test of this name: $test" && exit 1 ;;
  esac
done
