#!/usr/bin/env bash
# Installs the npm packages of a folder, $1 or deps/$1, exactly as its lock file says (versions and checksums); does
# nothing when that was done before.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts=$PWD/scripts
folder=$1
[ -f "$folder/package-lock.json" ] || folder=deps/$1
cd "$folder"

cmp -s package-lock.json node_modules/.installed-lock && exit 0
# --force: a package for another platform (macOS libraries on Linux) is wanted as it is.
if ! log=$("$scripts/npm.sh" ci --force --prefer-offline --loglevel=error 2>&1); then
  printf '%s\n' "$log" >&2
  echo "npm could not install $folder: check that this machine reaches the npm registry, then run make again." >&2
  exit 1
fi
cp package-lock.json node_modules/.installed-lock
