#!/usr/bin/env bash
# with-apt.sh COMMAND...: runs a command for which apt has fresh lists of packages, in a folder of its own that goes with
# what was downloaded: a bare system keeps neither (120 MB), and whoever has lists keeps them as they are. Needs no root,
# and sudo must be told: sudo env APT_CONFIG="$APT_CONFIG" apt-get install. Inside itself it only runs the command.
set -euo pipefail

[ -z "${HYPURA_APT:-}" ] || exec "$@"

HYPURA_APT=$(mktemp -d)
trap 'rm -rf "$HYPURA_APT"' EXIT
chmod 755 "$HYPURA_APT" # apt downloads as a user of its own, and makes folders that are that user's
mkdir -p "$HYPURA_APT"/cache/archives/partial
cp -r /var/lib/apt/lists "$HYPURA_APT/lists" 2>/dev/null || true # what did not change since is not downloaded
rm -rf "$HYPURA_APT"/lists/{lock,partial}
mkdir -p "$HYPURA_APT"/lists/partial
export HYPURA_APT APT_CONFIG=$HYPURA_APT/apt.conf
cat >"$APT_CONFIG" <<CONF
Dir::State::lists "$HYPURA_APT/lists";
Dir::Cache "$HYPURA_APT/cache";
Dir::Cache::archives "archives";
CONF
# As root its folders become apt's own user's, and root removes them; without, they stay this user's.
apt-get update -qq
"$@"
