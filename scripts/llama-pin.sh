#!/usr/bin/env bash
# llama-pin.sh: which release of llama.cpp each platform gets, by deps/llama-pins.txt.
#
#   llama-pin.sh                            what is pinned, and the newest that npm has of it
#   llama-pin.sh machine                    this machine's platform
#   llama-pin.sh version|release PLATFORM   the npm packages' version; llama.cpp's name for it
#   llama-pin.sh source PLATFORM            the folder of its source: deps/llama.cpp is of this machine's release
#   llama-pin.sh bundle PLATFORM FILE       fetches that source, as a git bundle
#   llama-pin.sh check                      that packages and lock files are of the versions pinned; needs no network
#   llama-pin.sh move PLATFORM VERSION      pins another version, then runs what must hold of it
#
# PLATFORM none, or one without packages, has what the first line of the file has.
set -euo pipefail
cd "$(dirname "$0")/.."
pins=deps/llama-pins.txt

lines() { grep -vE '^(#|source )' $pins; } # of the platforms
field() { # platform, number of the field
  lines | awk -v platform="$1" -v field="$2" 'NR == 1 || $1 == platform { found = $field } END { print found }'
}
checksum() { awk -v version="$1" '$1 == "source" && $2 == version { print $3 }' $pins; }
# The folders of a platform's packages: its own, and those of its libraries for GPUs.
package_folders() { ls -d "deps/llama-$1" deps/llama-"$1"-* 2>/dev/null; }
this_machine() {
  case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) echo linux-x64 ;;
    Linux-aarch64) echo linux-arm64 ;;
    Darwin-arm64) echo mac-arm64-metal ;;
    *) echo none ;;
  esac
}

source_folder() {
  if [ "$(field "$1" 3)" = "$(field "$(this_machine)" 3)" ]; then
    echo deps/llama.cpp
  else
    echo "deps/llama.cpp-$(field "$1" 3)"
  fi
}

check_folder() { # folder, npm package, version
  local file
  for file in package.json package-lock.json; do
    if ! grep -q "\"$2\": \"$3\"" "$1/$file"; then
      echo "$1/$file is not of $2 $3, which $pins says: run scripts/llama-pin.sh move."
      return
    fi
  done
  ! grep -q '"resolved"' "$1/package-lock.json" || echo "$1/package-lock.json names a registry's host."
}

check() {
  local platform version release folder faults
  faults=$(
    lines | while read -r platform version release; do
      for folder in $(package_folders "$platform"); do
        check_folder "$folder" "@node-llama-cpp/${folder#deps/llama-}" "$version"
      done
    done
    diff <(lines | awk '{ print $2 }' | sort -u) <(awk '$1 == "source" { print $2 }' $pins | sort) |
      sed -nE "s#^[<>] (.*)#$pins: of \1 there is no platform or no source.#p"
  )
  [ -z "$faults" ] || { printf '%s\n' "$faults" >&2; exit 1; }
}

# Writes what npm takes from a folder: its package.json and settings, and the lock file that npm makes of them. No script of
# a package is run, and lock files name no registry: whoever installs may have another.
lock() { # folder, npm package, version, description
  mkdir -p "$1"
  printf '%s\n' omit-lockfile-registry-resolved=true ignore-scripts=true audit=false fund=false omit=optional > "$1/.npmrc"
  cat > "$1/package.json" <<JSON
{
  "name": "hypura-${1//\//-}",
  "version": "1.0.0",
  "private": true,
  "description": "$4",
  "dependencies": {
    "$2": "$3"
  }
}
JSON
  rm -rf "$1/package-lock.json" "$1/node_modules"
  (cd "$1" && "$OLDPWD/scripts/npm.sh" install --package-lock-only --force --loglevel=error >/dev/null)
}

# Fetches a version of node-llama-cpp into a folder, as package.tgz, and prints its checksum. Of this package only two files
# are wanted, so that what it depends on is not installed.
fetch() { # version, folder
  (cd "$2" && "$OLDPWD/scripts/npm.sh" pack "node-llama-cpp@$1" --ignore-scripts --loglevel=error >/dev/null &&
    mv node-llama-cpp-*.tgz package.tgz) || return 1
  node -e 'const bytes = require("fs").readFileSync(process.argv[1])
    console.log("sha512-" + require("crypto").createHash("sha512").update(bytes).digest("base64"))' "$2/package.tgz"
}

bundle() { # platform, file
  local version sum
  version=$(field "$1" 2)
  folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
  if ! sum=$(fetch "$version" "$folder"); then
    echo "npm could not fetch node-llama-cpp: check that this machine reaches the npm registry, then run make again." >&2
    exit 1
  fi
  if [ "$sum" != "$(checksum "$version")" ]; then
    echo "node-llama-cpp $version is not what $pins says: its checksum is $sum." >&2
    exit 1
  fi
  tar -xzOf "$folder/package.tgz" package/llama/gitRelease.bundle > "$2"
}

move() { # platform, version
  local package name sum release
  lines | grep -q "^$1 " || { echo "$pins has no line for $1." >&2; exit 1; }
  folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
  sum=$(fetch "$2" "$folder")
  release=$(tar -xzOf "$folder/package.tgz" package/llama/binariesGithubRelease.json |
    sed -nE 's/.*"release": *"([^"]+)".*/\1/p')
  for package in $(package_folders "$1"); do
    name=${package#deps/llama-}
    lock "$package" "@node-llama-cpp/$name" "$2" "llama.cpp $release, prebuilt for $name"
  done
  sed -E "s/^$1 .*/$1 $2 $release/" $pins > "$folder/pins"
  awk -v version="$2" '$1 == "source" && $2 == version { found = 1 } END { exit !found }' $pins ||
    echo "source $2 $sum" >> "$folder/pins"
  # Without the sources that no platform has any more.
  awk 'NR == FNR { if ($1 != "source") used[$2] = 1; next } $1 != "source" || $2 in used' \
    "$folder/pins" "$folder/pins" > $pins
  check
  hold "$1" "$release"
}

# Expected values in tests and in the README are of the kernels of one release: what differs is looked at, not waved through.
hold() { # platform, release
  scripts/fetch-llama.sh "$1"
  case $1 in
    "$(this_machine)") make test ;;
    mac-arm64-metal) make macos ;;
    *) echo "Nothing of $1 can be run here: run make test on such a machine." ;;
  esac
  echo "Pinned: $1 has llama.cpp $2. Say so in CHANGELOG.md; \`git grep -n 'llama.cpp v[0-9]'\` finds what names releases."
}

overview() {
  local platform version release newest
  lines | while read -r platform version release; do
    newest=$(scripts/npm.sh view "@node-llama-cpp/$platform" version)
    printf '%-16s %s (llama.cpp %s); newest %s\n' "$platform" "$version" "$release" "$newest"
  done
}

case "${1:-} $#" in
  " 0") overview ;;
  "machine 1") this_machine ;;
  "version 2") field "$2" 2 ;;
  "release 2") field "$2" 3 ;;
  "source 2") source_folder "$2" ;;
  "bundle 3") bundle "$2" "$3" ;;
  "check 1") check ;;
  "move 3") move "$2" "$3" ;;
  *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
