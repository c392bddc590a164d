#!/usr/bin/env bash
# Pulls the demo model from two nginx servers on loopback in Hugging Face's shape: one with lists and redirects, one with
# the bytes. Kills the program at ten points, goes on, runs two at once, and runs what came. Argument: the build folder.
# Exit code 77: there is no nginx.
set -euo pipefail
cd "$(dirname "$0")/.."
hypura=$1/bin/hypura

command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || { echo "nginx is not installed; nothing was tested"; exit 77; }
nginx=$(command -v nginx || echo /usr/sbin/nginx)
work=$(mktemp -d)
server=
finish() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  [ -z "$server" ] || wait "$server" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
fail() {
  echo "test-fetch: $1" >&2
  tail -n 20 "$work"/*.log >&2 || true
  exit 1
}

# nginx cannot choose free ports by itself.
read -r hub bytes < <(node -e '
  const net = require("net"), a = net.createServer(), b = net.createServer();
  a.listen(0, "127.0.0.1", () => b.listen(0, "127.0.0.1", () => {
    console.log(a.address().port, b.address().port); a.close(); b.close(); }));')

model=models/hypura-stories-moe.gguf
size=$(stat -c %s "$model")
hash=$(sha256sum "$model" | cut -d' ' -f1)
commit=0123456789abcdef0123456789abcdef01234567
mkdir -p "$work"/{hub,bytes,tmp}
cp "$model" "$work/bytes/$hash"
printf '{"sha":"%s"}' $commit > "$work/hub/revision.json"
printf '[{"type":"file","path":"stories-Q8_0.gguf","size":%s,"oid":"%s","lfs":{"oid":"%s","size":%s}}]' \
  "$size" $commit "$hash" "$size" > "$work/hub/tree.json"
user=
[ "$(id -u)" -ne 0 ] || user="user root;" # who owns the folder
cat > "$work/nginx.conf" <<CONF
$user
daemon off;
pid $work/pid;
error_log $work/error.log;
events { worker_connections 64; }
http {
  log_format told '\$server_port "\$http_authorization" \$status \$body_bytes_sent "\$http_range" \$request_uri';
  access_log $work/access.log told;
  client_body_temp_path $work/tmp; proxy_temp_path $work/tmp; fastcgi_temp_path $work/tmp;
  uwsgi_temp_path $work/tmp; scgi_temp_path $work/tmp;
  server {
    listen 127.0.0.1:$hub;
    root $work/hub;
    location = /api/models/org/repo/revision/main { try_files /revision.json =404; }
    location = /api/models/org/repo/tree/$commit { try_files /tree.json =404; }
    location = /org/repo/resolve/$commit/stories-Q8_0.gguf {
      add_header X-Linked-Etag '"$hash"' always;
      return 302 http://127.0.0.1:$bytes/$hash;
    }
  }
  server {
    listen 127.0.0.1:$bytes;
    root $work/bytes;
    limit_rate 40m;
  }
}
CONF
"$nginx" -p "$work" -c "$work/nginx.conf" 2> "$work/start.log" &
server=$!
for _ in $(seq 100); do
  node -e "require('net').connect($bytes, '127.0.0.1').on('connect', () => process.exit(0)).on('error', () => process.exit(1))" && break
done

export HF_ENDPOINT=http://127.0.0.1:$hub HF_TOKEN=hf_secret HF_HUB_CACHE=$work/cache
export XDG_DATA_HOME=$work/data XDG_CACHE_HOME=$work/own HOME=$work no_proxy=127.0.0.1
unset HF_HUB_OFFLINE OLLAMA_MODELS LLAMA_CACHE
name=hf.co/org/repo

"$hypura" inspect $name > "$work/inspect.log" 2>&1 || fail "inspect from afar failed"
[ ! -e "$work/cache" ] || fail "inspect fetched the model"
told=$(awk -v port="$bytes" '$1 == port { sum += $4 } END { print sum }' "$work/access.log")
[ "$told" -lt $((size / 5)) ] || fail "inspect read $told of $size bytes"

if "$hypura" run $name --prompt x < /dev/null > "$work/run.log" 2>&1; then fail "run fetched without being told to"; fi
grep -q -- --yes "$work/run.log" || fail "run does not say how to fetch"

part=$work/cache/models--org--repo/blobs/$hash.hypura.incomplete
for point in $(seq 10); do
  "$hypura" pull $name > "$work/pull.log" 2>&1 &
  pull=$!
  # Killed when so many more bytes are on disk: at another point each time.
  while kill -0 $pull 2>/dev/null; do
    there=$(($(stat -c %b "$part" 2>/dev/null || echo 0) * 512))
    [ "$there" -lt $((point * size / 12)) ] || break
  done
  kill -9 $pull 2>/dev/null || true
  wait $pull 2>/dev/null || true
done
blob=$work/cache/models--org--repo/blobs/$hash
[ ! -e "$blob" ] || fail "a pull ended before it was killed"

: > "$work/access.log"
"$hypura" pull $name > "$work/first" 2> "$work/pull.log" &
one=$!
"$hypura" pull $name > "$work/second" 2> "$work/pull2.log" || fail "the second of two pulls failed"
wait $one || fail "the first of two pulls failed"
cmp -s "$work/first" "$work/second" || fail "two pulls gave two paths"
sha256sum -c --quiet <<< "$hash  $(cat "$work/first")" || fail "what was pulled is damaged"
[ ! -e "$part" ] && [ ! -e "$part.json" ] || fail "parts were left"
[ "$(cat "$work/cache/models--org--repo/refs/main")" = $commit ] || fail "refs/main is wrong"
told=$(awk -v port="$bytes" '$1 == port { sum += $4 } END { print sum }' "$work/access.log")
[ "$told" -lt "$size" ] || fail "two pulls of a model that was there in part fetched $told bytes"
if grep "^$bytes" "$work/access.log" | grep -q secret; then fail "the token went to another server"; fi
grep "^$hub" "$work/access.log" | grep -q 'Bearer hf_secret' || fail "the token did not go to the hub"

rm -rf "$work/cache" "$work/data"
"$hypura" run $name --yes --prompt "Once upon a time" -n 8 --temp 0 < /dev/null > "$work/answer" 2> "$work/run.log" ||
  fail "run --yes failed"
"$hypura" run "$model" --prompt "Once upon a time" -n 8 --temp 0 < /dev/null > "$work/expected" 2> "$work/run2.log"
cmp -s "$work/answer" "$work/expected" || fail "the model that was pulled answers otherwise"
"$hypura" list 2>> "$work/run.log" | grep -q "hf.co/org/repo:Q8_0" || fail "list does not show it"
"$hypura" rm $name > "$work/rm.log" 2>&1 || fail "rm failed"
[ -z "$(find "$work/cache" -name "*$hash*" -not -path "*/.locks/*")" ] || fail "rm left bytes"
