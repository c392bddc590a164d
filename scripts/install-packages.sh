#!/usr/bin/env bash
# Installs the Debian packages of the groups named (default: run) that are missing; see packages.txt. Asks dpkg first,
# so it costs milliseconds when nothing is missing.
set -euo pipefail
cd "$(dirname "$0")"

groups=${*:-run}
wanted=$(awk -v groups=" $groups " '!/^#/ && NF >= 2 && index(groups, " " $2 " ") { print $1 }' packages.txt)

if [ "$(uname -s)" = Darwin ]; then
  exit 0 # docs/design/macos.md names what Homebrew gives.
fi
if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  {
    echo "This is not Debian, so nothing was installed; your system needs its equivalents of these Debian packages:"
    echo "  $(echo $wanted) npm"
  } >&2
  exit 0 # All of it may be there already; CMake names what it cannot find.
fi

missing=()
for package in $wanted; do
  [ "$package" != nodejs ] || ! command -v node >/dev/null || continue
  status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "These packages are missing, and there is no sudo to install them with; as root, run: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  root=(sudo)
fi
echo "Installing ${missing[*]}"
"${root[@]}" apt-get update -qq
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
  -o APT::Keep-Downloaded-Packages=false "${missing[@]}" >/dev/null
