#!/usr/bin/env bash
# fetch-gpu.sh [auto|cuda|vulkan|none]: puts llama.cpp's prebuilt library for CUDA or Vulkan where the program looks for
# it: in the folder gpu/ beside the libraries that fetch-llama.sh installed. Prints what it chose, and nothing where
# nothing changed.
#
# auto (the default): CUDA where NVIDIA's driver and CUDA's libraries are there; Vulkan for other GPUs, and where CUDA
# would not start; nothing without a GPU. none: takes away what is there. Idempotent; needs npm.
set -euo pipefail
cd "$(dirname "$0")/.."

wanted=${1:-auto}
# What the prebuilt library links (docs/design/gpu.md).
cuda_version=13
oldest_driver=580
# GPUs that it has machine code for, by compute capability, and the driver that compiles its PTX for the others: CUDA
# 13.1's, which made it (src/profiling/gpu_advice.h).
own_code="8.6 8.9 12.0 12.1"
ptx_driver=590

fail() {
  echo "$*" >&2
  exit 1
}

# Whether the linker finds a library of this name when the program starts, or the program itself would
# (src/backend/gpu/devices/gpu_backends_linux.cpp).
has_library() {
  local folder
  [[ "$(ldconfig -p 2>/dev/null)" != *"$1 "* ]] || return 0
  while read -r folder; do
    [ -z "$folder" ] || [ ! -e "$folder/$1" ] || return 0
  done < <(tr : '\n' <<<"${LD_LIBRARY_PATH:-}:/usr/local/cuda/lib64:/usr/local/cuda-$cuda_version/lib64")
  return 1
}

has_nvidia_driver() {
  [ -e /proc/driver/nvidia/version ] || [ -e /dev/nvidiactl ] || has_library libcuda.so.1
}

# 0 where it is not known, which is no reason against it.
nvidia_driver_version() {
  local version
  version=$(grep -oE '\b[0-9]+\.[0-9.]+\b' /proc/driver/nvidia/version 2>/dev/null | head -n 1) || true
  [ -n "$version" ] || version=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1) || true
  [[ "$version" =~ ^[0-9]+ ]] && echo "${BASH_REMATCH[0]}" || echo 0
}

# Compute capabilities, a line for each GPU; nothing where they are not known.
nvidia_capabilities() {
  nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | grep -xE '[0-9]+\.[0-9]+' || true
}

# Prints nothing when CUDA would start, and compute on one of the GPUs.
what_cuda_lacks() {
  local version
  version=$(nvidia_driver_version)
  if [ "$version" -ne 0 ] && [ "$version" -lt $oldest_driver ]; then
    echo "NVIDIA's driver $version is older than CUDA $cuda_version needs, which is $oldest_driver"
    return
  fi
  if [ "$version" -ne 0 ] && [ "$version" -lt $ptx_driver ]; then
    local capability others=
    while read -r capability; do
      [[ " $own_code " != *" $capability "* ]] || { others= && break; }
      others="$others${others:+, }$capability"
    done < <(nvidia_capabilities)
    if [ -n "$others" ]; then
      echo "NVIDIA's driver $version does not compile its code for GPUs of compute capability $others, and $ptx_driver does"
      return
    fi
  fi
  for library in libcudart.so.$cuda_version libcublas.so.$cuda_version; do
    has_library $library || { echo "$library of CUDA $cuda_version is missing"; return; }
  done
}

has_vulkan_device() {
  compgen -G '/dev/dri/renderD*' >/dev/null &&
    { compgen -G '/usr/share/vulkan/icd.d/*.json' || compgen -G '/usr/local/share/vulkan/icd.d/*.json' ||
      compgen -G '/etc/vulkan/icd.d/*.json'; } >/dev/null
}

if [ "$(uname -sm)" != "Linux x86_64" ]; then
  case $wanted in
    auto | none) exit 0 ;; # of other systems the packages have what there is: Metal on macOS
    *) fail "There is no prebuilt library for GPU=$wanted on $(uname -sm): configure with -DHYPURA_LLAMA=source and llama.cpp's" \
      "own option, such as -DGGML_CUDA=ON." ;;
  esac
fi

chosen=$wanted
case $wanted in
  cuda | vulkan | none) ;;
  auto)
    chosen=
    if has_nvidia_driver; then
      lack=$(what_cuda_lacks)
      chosen=cuda
      [ -z "$lack" ] || { chosen=vulkan && reason=" ($lack; \`hypura devices\` says more)"; }
    elif has_vulkan_device; then
      chosen=vulkan
    fi
    ;;
  *) fail "GPU=$wanted: it must be auto, cuda, vulkan or none." ;;
esac

platform=linux-x64
folder=deps/llama-$platform/node_modules/@node-llama-cpp/$platform/bins/$platform/gpu
if [ "$chosen" = none ]; then
  rm -rf "$folder"
elif [ -n "$chosen" ]; then
  package=$platform-$chosen
  library=deps/llama-$package/node_modules/@node-llama-cpp/$package/bins/$package/libggml-$chosen.so
  scripts/npm-install.sh "llama-$package"
  if [ ! "$library" -ef "$folder/libggml-$chosen.so" ]; then
    echo "For GPUs: llama.cpp's library for $chosen${reason:-}"
    mkdir -p "$folder"
    # No symbolic link, which an installation would take as it is.
    ln -f "$library" "$folder/" 2>/dev/null || cp "$library" "$folder/"
  fi
fi
