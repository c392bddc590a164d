#!/usr/bin/env bash
# Runs npm with the arguments given: the machine's own, or else Debian's, unpacked into deps/npm. Installing Debian's
# package brings 360 others (webpack, eslint, Python, OpenSSL's headers; 130 MB), most of them for what npm does when it
# builds native modules, which nothing here has; so only its JavaScript is unpacked, 11 MB, and nothing is installed.
set -euo pipefail
scripts=$(cd "$(dirname "$0")" && pwd)
own=${scripts%/*}/deps/npm
program=$own/node_modules/npm/bin/npm-cli.js

# npm and the packages of JavaScript modules it depends on, directly or not, but for the large node-fetch, by which
# node-gyp downloads headers. What stands below a dependency provides it.
packages_of_npm() {
  local found=npm new=npm
  while [ -n "$new" ]; do
    new=$(apt-cache depends --important $new | sed -nE 's/^ +\|?(Depends: )?(node-[a-z0-9.+-]+)$/\2/p' | sort -u |
      grep -vxFf <(printf '%s\n' $found node-fetch) || true)
    found+=" $new"
  done
  echo $found
}

unpack_npm() { # into the folder $1
  cd "$1"
  apt-get download -qq -o APT::Sandbox::User=root $(packages_of_npm) >/dev/null
  for package in *.deb; do dpkg-deb -x "$package" root; done
  mv root/usr/share/nodejs node_modules # modules find each other in a folder of this name
  node node_modules/npm/bin/npm-cli.js --version >/dev/null
  mkdir -p "$own"
  rm -rf "$own/node_modules"
  mv node_modules "$own/node_modules"
}

if command -v npm >/dev/null; then
  exec npm "$@"
fi
if [ ! -e "$program" ]; then
  if ! command -v node >/dev/null || ! command -v apt-cache >/dev/null; then
    echo "npm is not installed, and llama.cpp comes from the npm registry: install nodejs and npm." >&2
    exit 1
  fi
  [ -n "${HYPURA_APT:-}" ] || exec "$scripts/with-apt.sh" "$scripts/npm.sh" "$@"
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  (unpack_npm "$folder") # its own line: in a condition, errors would not end it
  rm -rf "$folder"
fi
# Nobody else on this machine would use what it keeps of downloads.
status=0
node "$program" --cache "$own/cache" "$@" || status=$?
rm -rf "$own/cache"
exit $status
