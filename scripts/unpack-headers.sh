#!/usr/bin/env bash
# unpack-headers.sh PACKAGE...: unpacks the headers of Debian packages into deps/debian and installs nothing: of Boost only
# what its Asio and Beast include, on any system (40 MB of 180), and of CLP's what is its own, without the static LAPACK
# and the Fortran compiler's libraries that installing them brings (60 MB). cmake/Dependencies.cmake looks there.
set -euo pipefail
scripts=$(cd "$(dirname "$0")" && pwd)
own=${scripts%/*}/deps/debian
[ -n "${HYPURA_APT:-}" ] || exec "$scripts/with-apt.sh" "$scripts/unpack-headers.sh" "$@"

boost=(align asio assert beast bind chrono config container container_hash core date_time describe detail exception
  function integer intrusive io move mp11 mpl numeric/conversion optional predef preprocessor ratio smart_ptr
  static_string system type_index type_traits utility winapi)

mkdir -p "$own" "$HYPURA_APT/headers"
for package in "$@"; do
  case $package in
    libboost*) # with what CMake finds it by
      wanted=(--wildcards --no-wildcards-match-slash './usr/lib/*/cmake' './usr/include/boost/*.h' './usr/include/boost/*.hpp'
        "${boost[@]/#/./usr/include/boost/}") ;;
    *) wanted=(./usr/include) ;;
  esac
  (cd "$HYPURA_APT/headers" && apt-get download -qq -o APT::Sandbox::User=root "$package" >/dev/null)
  dpkg-deb --fsys-tarfile "$HYPURA_APT/headers/$package"_*.deb | tar -x -C "$own" "${wanted[@]}"
  touch "$own/$package"
done
