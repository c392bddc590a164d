#!/usr/bin/env bash
# Installs the Debian packages of the groups named (default: run) that are missing, and unpacks those of which only the
# headers are wanted; see packages.txt. Asks dpkg first, so it costs milliseconds when nothing is missing.
set -euo pipefail
cd "$(dirname "$0")"

groups=${*:-run}
wanted=$(awk -v groups=" $groups " '!/^#/ && NF >= 2 && index(groups, " " $2 " ") { print $1 }' packages.txt)
names=${wanted//headers:/}

if [ "$(uname -s)" = Darwin ]; then
  exit 0 # docs/design/macos.md names what Homebrew gives.
fi
if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  {
    echo "This is not Debian, so nothing was installed; your system needs its equivalents of these Debian packages:"
    echo "  $(echo $names) npm"
  } >&2
  exit 0 # All of it may be there already; CMake names what it cannot find.
fi

missing=()
headers=()
for package in $wanted; do
  [ "$package" != nodejs ] || ! command -v node >/dev/null || continue
  name=${package#headers:}
  status=$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null || true)
  if [ "$status" = installed ]; then
    continue
  elif [ "$package" = "$name" ]; then
    missing+=("$name")
  elif [ ! -e "../deps/debian/$name" ]; then
    headers+=("$name")
  fi
done
[ ${#missing[@]} -gt 0 ] || [ ${#headers[@]} -gt 0 ] || exit 0

root=()
if [ "$(id -u)" -ne 0 ] && [ ${#missing[@]} -gt 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "These packages are missing, and there is no sudo to install them with; as root, run: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  root=(sudo)
fi
[ -n "${HYPURA_APT:-}" ] || exec ./with-apt.sh "$PWD/install-packages.sh" "$@"
if [ ${#missing[@]} -gt 0 ]; then
  echo "Installing ${missing[*]}"
  "${root[@]}" env APT_CONFIG="$APT_CONFIG" DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    "${missing[@]}" >/dev/null
fi
if [ ${#headers[@]} -gt 0 ]; then
  echo "Unpacking the headers of ${headers[*]}"
  ./unpack-headers.sh "${headers[@]}"
fi
# While there are lists to find it by.
./npm.sh --version >/dev/null
