#!/usr/bin/env bash
# clang-tidy over every source of ours that the build folder $1 (default: build/release) compiles, but for the tests
# (they are half of the sources, and the compiler's warnings and the sanitizers see them); or over those units that hold
# the files named after it. The build's units are checked as they are compiled, several sources in one: each of them
# alone would take eight times as long. A unit that passed is skipped until one of its sources, a header of ours or
# .clang-tidy changes.
set -euo pipefail
cd "$(dirname "$0")/.."

build=${1:-build/release}
shift || true
done_folder=build/tidy
mkdir -p "$done_folder"

# Everything a verdict depends on besides the sources themselves.
base=$({ clang-tidy --version; cat .clang-tidy; find src include tools bench -name '*.h' -print0 | sort -z | xargs -0 cat; } | sha256sum)

# Each unit with its sources, on a line; those of a build without units are their own.
list_units() {
  python3 - "$build" "$@" <<'PYTHON'
import json, os, re, sys
wanted = set(map(os.path.relpath, sys.argv[2:]))
for entry in json.load(open(os.path.join(sys.argv[1], "compile_commands.json"))):
    unit = entry["file"]
    held = re.findall(r'#include "(/.*)"', open(unit).read()) if "/Unity/" in unit else [unit]
    sources = [os.path.relpath(path) for path in held]
    ours = all(path.startswith(("src/", "tools/", "bench/")) and not path.endswith("_test.cpp") for path in sources)
    if ours and (not wanted or wanted & set(sources)):
        print(unit, *sources)
PYTHON
}

check_unit() {
  local build=$1 unit=$2 stamp findings
  shift 2
  stamp=$done_folder/$({ echo "$base"; echo "$@"; cat "$@"; } | sha256sum | cut -c1-32)
  [ ! -e "$stamp" ] || return 0
  if findings=$(clang-tidy -p "$build" --quiet "$unit" 2>/dev/null); then
    touch "$stamp"
  else
    printf 'clang-tidy of %s\n%s\n' "$*" "$findings"
    return 1
  fi
}
export -f check_unit
export base done_folder

list_units "$@" | sort -u | xargs -P "$(nproc)" -L 1 bash -c 'check_unit "$0" "$@"' "$build"
