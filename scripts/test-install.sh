#!/usr/bin/env bash
# test-install.sh BUILD_FOLDER [CXX]: installs what was built there, moves the installation once, and builds
# examples/embed with it as a project outside would: with the CMake package, then with pkg-config. Both must tell the same
# story, by the libraries of the moved installation.
set -euo pipefail
build=$(realpath "$1")
export CXX=${2:-c++}
source=$(realpath "$(dirname "$0")/..")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export XDG_CACHE_HOME=$folder/cache # what runs teach is not the user's
cd "$folder"

cmake --install "$build" --prefix first >/dev/null
cmake --install "$build" --prefix first --component library >/dev/null
mv first moved
prefix=$folder/moved
model=$prefix/share/hypura/models/hypura-stories-moe.gguf

fail() {
  echo "$*" >&2
  exit 1
}

tell() { # program, name of its story
  LD_DEBUG=libs LD_DEBUG_OUTPUT="$folder/loaded" "$1" "$model" 40 >"$2.txt" 2>"$2.log" ||
    fail "$1 failed: $(cat "$2.log")"
  grep -q "tokens/s" "$2.log" || fail "$1 tells no speed: $(cat "$2.log")"
  [ "$(wc -w <"$2.txt")" -gt 20 ] || fail "$1 tells no story: $(cat "$2.txt")"
  if grep -h "calling init: .*/lib\(ggml\|llama\)" "$folder"/loaded.* | grep -v "$prefix/"; then
    fail "$1 loads the libraries above from elsewhere than $prefix."
  fi
}

cp -r "$prefix/share/doc/hypura/examples/embed" embed
cmake -S embed -B by-cmake -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
cmake --build by-cmake >/dev/null
tell by-cmake/embed by-cmake

export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
$CXX -std=c++20 embed/main.cpp -o by-pkg-config $(pkg-config --cflags --libs hypura)
tell ./by-pkg-config by-pkg-config

cmp by-cmake.txt by-pkg-config.txt
"$prefix/bin/hypura" devices >devices.txt || fail "hypura devices failed"
grep -q "^CPU .* always " devices.txt || fail "hypura devices tells nothing of the processor: $(cat devices.txt)"
"$prefix/bin/hypura" devices --json | grep -q '"backends"' || fail "hypura devices --json tells no backends"
"$prefix/bin/hypura" --version
cat by-cmake.log
