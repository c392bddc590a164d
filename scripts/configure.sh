#!/usr/bin/env bash
# configure.sh PRESET "PARTS" [FLAGS...]: configures build/PRESET when that was not done, when it leaves out a part
# (tests, bench) that is wanted now, or when flags are given. A part once wanted stays: the program's own files are
# compiled alike with and without it, so they are not compiled again.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
parts=$2
shift 2

options=()
for part in tests:HYPURA_TESTS bench:HYPURA_BENCH; do
  option=${part#*:}
  wanted=OFF
  [[ " $parts " != *" ${part%:*} "* ]] || wanted=ON
  now=$(sed -n "s/^$option:[A-Z]*=//p" "build/$preset/CMakeCache.txt" 2>/dev/null || true)
  if [ -z "$now" ] || [ "$wanted $now" = "ON OFF" ]; then
    options+=("-D$option=$wanted")
  fi
done
if [ ! -f "build/$preset/build.ninja" ] || [ ${#options[@]} -gt 0 ] || [ $# -gt 0 ]; then
  cmake --preset "$preset" "${options[@]}" "$@"
fi
