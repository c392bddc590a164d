# Sourced by the benchmarks' scripts, with $models and $bin set.

# make_model FILE BYTES FLAGS...: a file appears under its name only when it is complete.
make_model() {
  local file=$1 bytes=$2 free
  shift 2
  [ ! -e "$file" ] || return 0
  free=$(df --output=avail -B1 "$models" | tail -n 1)
  if [ "$free" -lt "$bytes" ]; then
    echo "$0: $models has $free bytes free and $file needs $bytes: set HYPURA_BENCH_DIR to a roomier disk." >&2
    exit 1
  fi
  echo "making $file" >&2
  "$bin/hypura-make-model" "$file" "$@"
}
