#!/usr/bin/env bash
# Fails and names the places where our sources differ from what clang-format makes of them; --fix changes them.
set -euo pipefail
cd "$(dirname "$0")/.."

mode=(--dry-run -Werror)
[ "${1:-}" != --fix ] || mode=(-i)
find src include tools bench examples tests/fuzz -name '*.cpp' -print0 -o -name '*.h' -print0 | xargs -0 -n 16 clang-format "${mode[@]}"
