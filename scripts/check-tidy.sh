#!/usr/bin/env bash
# clang-tidy over every source of ours that the build folder $1 (default: build/release) compiles, but for the tests
# (they are half of the sources, and the compiler's warnings and the sanitizers see them); or over the files named after
# it. A file that passed is skipped until it, a header of ours, its compile command or .clang-tidy changes.
set -euo pipefail
cd "$(dirname "$0")/.."

build=${1:-build/release}
shift || true
done_folder=build/tidy
mkdir -p "$done_folder"

# Everything a verdict depends on besides the file itself.
base=$({ clang-tidy --version; cat .clang-tidy; find src include tools bench -name '*.h' -print0 | sort -z | xargs -0 cat; } | sha256sum)

list_sources() {
  python3 - "$build" <<'PYTHON'
import json, os, sys
for entry in json.load(open(os.path.join(sys.argv[1], "compile_commands.json"))):
    path = os.path.relpath(entry["file"])
    if path.startswith(("src/", "tools/", "bench/")) and not path.endswith("_test.cpp"):
        print(path)
PYTHON
}

check_one() {
  local stamp findings
  stamp=$done_folder/$({ echo "$base"; cat "$2"; echo "$2"; } | sha256sum | cut -c1-32)
  [ ! -e "$stamp" ] || return 0
  if findings=$(clang-tidy -p "$1" --quiet "$2" 2>/dev/null); then
    touch "$stamp"
  else
    printf 'clang-tidy %s\n%s\n' "$2" "$findings"
    return 1
  fi
}
export -f check_one
export base done_folder

if [ $# -gt 0 ]; then printf '%s\n' "$@"; else list_sources | sort -u; fi |
  xargs -P "$(nproc)" -I{} bash -c 'check_one "$0" "$1"' "$build" {}
