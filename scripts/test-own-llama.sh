#!/usr/bin/env bash
# test-own-llama.sh [SOURCE]: builds llama.cpp as users do who have one of their own, then Hypura with its libraries
# (HYPURA_LLAMA_DIR, HYPURA_LLAMA_OWN_SOURCE), and runs the tests. SOURCE: llama.cpp's source, left as it is. Without it, the
# pinned one with the number of the release after it: a newer release, as far as Hypura can tell. All in build/own-llama;
# takes about 20 minutes on two cores. HYPURA_TESTS_WANTED: a regular expression of CTest's labels, for some tests only.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-packages.sh run test
folder=$PWD/build/own-llama
jobs=$(nproc)

if [ $# -gt 0 ]; then
  source=$(realpath "$1")
else
  scripts/fetch-llama.sh --models --code
  pinned=$PWD/$(scripts/llama-pin.sh source "$(scripts/llama-pin.sh machine)")
  source=$folder/source
  rm -rf "$source"
  mkdir -p "$folder"
  cp -r "$pinned" "$source"
  patch=$(sed -nE 's/^set\(LLAMA_VERSION_PATCH ([0-9]+)\)/\1/p' "$source/CMakeLists.txt")
  sed -i -E "s/^(set\(LLAMA_VERSION_PATCH )[0-9]+/\1$((patch + 1))/" "$source/CMakeLists.txt"
fi

# As llama.cpp's own instructions have it, without what is not needed. Not for this machine's processor alone: g++ 12 makes AMX
# kernels of it that end the process (a general protection fault at ldtilecfg).
cmake -S "$source" -B "$folder/libraries" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON -DGGML_NATIVE=OFF \
  -DLLAMA_BUILD_COMMON=ON -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_{TESTS,TOOLS,EXAMPLES,SERVER,APP}=OFF >/dev/null
cmake --build "$folder/libraries" -j "$jobs"

cmake --preset release -B "$folder/hypura" -DHYPURA_TESTS=ON -DHYPURA_BENCH=OFF \
  -DHYPURA_LLAMA_DIR="$folder/libraries/bin" -DHYPURA_LLAMA_OWN_SOURCE="$source"
cmake --build "$folder/hypura" -j "$jobs"
# No other llama.cpp may be what the tests run with.
if ldd "$folder/hypura/bin/hypura" | grep -E 'lib(ggml|llama)' | grep -v "$folder/libraries/bin/"; then
  echo "The program loads the libraries above, not those of $folder/libraries/bin." >&2
  exit 1
fi
ctest --test-dir "$folder/hypura" --output-on-failure -j "$jobs" -L "${HYPURA_TESTS_WANTED:-.}"
