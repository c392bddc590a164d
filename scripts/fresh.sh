#!/usr/bin/env bash
# fresh.sh [TARGET...]: proves that the README's commands work from nothing. Clones the commit into a bare Debian 12
# (debootstrap's minbase with git, make and ca-certificates) and runs make TARGET there (default: run, then test), in a
# chroot. Prints the time and the disk that each took; fails when one fails.
#
# The bare system is kept as an archive in the user's cache folder, and so is ccache's folder, which the chroot shares.
# How this machine fetches packages (sources, proxies, certificates, npm's settings) holds in there too. All mounts are in
# a namespace of their own, so they go with this script, whatever ends it.
set -euo pipefail
cd "$(dirname "$0")/.."

suite=bookworm
packages=git,make,ca-certificates
cache=${XDG_CACHE_HOME:-$HOME/.cache}/hypura-build
ccache=${CCACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/ccache}
root=$PWD/build/fresh/root
work=/var/tmp/hypura # in there

if [ "$(uname -s)" != Linux ] || [ "$(id -u)" -ne 0 ]; then
  echo "make fresh makes a root folder and mounts in it: run it as root on Linux." >&2
  exit 1
fi
targets=("$@")
[ $# -gt 0 ] || targets=(run test)

# In a namespace of mounts and of processes: what is started in there cannot outlive it.
if [ -z "${HYPURA_FRESH_INSIDE:-}" ]; then
  scripts/install-packages.sh fresh
  rm -rf "$root"
  status=0
  HYPURA_FRESH_INSIDE=1 unshare --mount --pid --fork --kill-child --propagation private "$0" "${targets[@]}" || status=$?
  rm -rf "$root"
  exit $status
fi

disk() { du -sxm --exclude="$root/root/.cache/ccache" "$root" | cut -f1; } # MiB; the exclusion is mounted
installed() { inside dpkg-query -W -f='${Installed-Size}\n' | awk '{ s += $1 } END { print int(s / 1024) }'; } # MiB
certificate_variables=$(env | grep -iE '^[a-z_]*(cert|cainfo|ca_bundle|ca_path)[a-z_]*=/' || true)

# The archives that this machine's apt knows for the suite, a line each: address, release, component.
sources() {
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk -v suite=$suite '$2 == suite || index($2, suite "-") == 1' | sort -u
}

copy_into_root() { # files and folders that exist here, to the same place
  local path
  for path in "$@"; do
    [ -e "$path" ] || continue
    mkdir -p "$root${path%/*}"
    cp -rL "$path" "$root${path%/*}/"
  done
}

bare_system() {
  local archive mirror proxy
  archive=$cache/bare-$suite-$(dpkg --print-architecture)-$(echo $packages no lists | sha256sum | cut -c1-12).tar.gz
  if [ ! -e "$archive" ]; then
    echo "Making a bare system with debootstrap; kept as $archive"
    mirror=$(sources | awk -v suite=$suite '$2 == suite { print $1; exit }')
    proxy=$(apt-config dump --format '%v%n' Acquire::http::Proxy)
    mkdir -p "$cache" "$root.new"
    if ! http_proxy=${proxy:-${http_proxy:-}} debootstrap --variant=minbase --include=$packages $suite "$root.new" $mirror \
      >"$root.log" 2>&1; then
      tail -n 20 "$root.log" >&2
      exit 1
    fi
    rm -rf "$root.new"/var/cache/apt/{archives/*.deb,*.bin} "$root.new"/var/lib/apt/lists/*
    tar -C "$root.new" -c . | gzip -1 >"$archive.part"
    mv "$archive.part" "$archive"
    rm -rf "$root.new"
  fi
  mkdir -p "$root"
  tar -C "$root" -xzf "$archive"
}

# How this machine fetches, and nothing else of its settings.
client_settings() {
  sources | sed 's/^/deb /' >"$root/etc/apt/sources.list"
  # The keys that the sources name; the root has Debian's.
  find /etc/apt/sources.list /etc/apt/sources.list.d -type f -exec cat {} + 2>/dev/null |
    sed -nE 's/^Signed-By: *(\/.*)/\1/p; s/.*signed-by=(\/[^] ,]*).*/\1/p' | sort -u |
    while read -r key; do [ ! -f "$key" ] || cp "$key" "$root/etc/apt/trusted.gpg.d/"; done || true
  apt-config dump Acquire >"$root/etc/apt/apt.conf.d/99machine"
  copy_into_root /etc/resolv.conf /etc/hosts /etc/apt/auth.conf /etc/apt/auth.conf.d /usr/local/share/ca-certificates \
    /etc/ssl/certs/ca-certificates.crt
  copy_into_root $(cut -d= -f2 <<<"$certificate_variables" | while read -r file; do [ ! -f "$file" ] || echo "$file"; done)
  cat "$(npm config get globalconfig 2>/dev/null || true)" "$HOME/.npmrc" >"$root/root/.npmrc" 2>/dev/null || true
}

mounts() {
  mkdir -p "$ccache" "$root/root/.cache/ccache"
  mount -t proc proc "$root/proc"
  mount --rbind /sys "$root/sys"
  mount --rbind /dev "$root/dev"
  mount --bind "$ccache" "$root/root/.cache/ccache"
}

clone() {
  [ -z "$(git status --porcelain)" ] || echo "Uncommitted changes are left out."
  git init -q "$root$work"
  git -C "$root$work" fetch -q --depth 1 "file://$PWD" HEAD
  git -C "$root$work" checkout -q FETCH_HEAD
}

inside() { # a command, in the clone, with a login's environment
  local variables=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8)
  local variable
  while read -r variable; do [ -z "$variable" ] || variables+=("$variable"); done <<<"$certificate_variables"
  while read -r variable; do [ -z "$variable" ] || variables+=("$variable"); done \
    <<<"$(env | grep -iE '^((http|https|ftp|all|no)_proxy|npm_config_[a-z_]+)=' || true)"
  env -i "${variables[@]}" chroot "$root" sh -c "cd $work && exec \"\$@\"" sh "$@"
}

bare_system
client_settings
clone
mounts
before=$(disk)
before_installed=$(installed)
echo "A bare $suite with a clone of the commit: $before MiB"
for target in "${targets[@]}"; do
  printf '\n-- make %s, on the bare system\n' "$target"
  started=$SECONDS
  inside make "$target"
  after=$(disk)
  after_installed=$(installed)
  echo "-- make $target: $((SECONDS - started)) s, $((after - before)) MiB of disk more;" \
    "of those, packages $((after_installed - before_installed)) MiB"
  before=$after
  before_installed=$after_installed
done
