// ggml's libraries for GPUs, loaded beside its others.
//
// They lie in the folder gpu/ under ggml's own, so that what uses no GPU does not start a GPU's driver. Where ggml was
// built with them they are part of it, or lie beside it, and are there already.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/gpu/devices/cuda_code.h"

namespace hypura {

// A backend of this system that gives GPUs.
struct GpuBackend {
  std::string_view name;     // for people, and as ggml calls it but for Metal
  std::string_view library;  // the name of its file; empty: it is in ggml's own folder, which is loaded first
};

// Those that ggml's packages for this system have (gpu_backends_linux.cpp, gpu_backends_darwin.cpp).
std::span<const GpuBackend> gpu_backends_of_system();

// Where the libraries that a backend needs lie besides where the system's linker looks (likewise).
std::span<const std::string_view> gpu_library_folders();

struct LoadedGpuBackend {
  std::string name;
  std::filesystem::path library;  // that was tried; empty: none was found
  size_t devices = 0;
  bool loaded = false;
  std::string missing_library;  // that the system's linker could not find for it
  std::string error;            // what the system's linker or the backend itself said; empty where it said nothing
  std::vector<UnusableGpu> unusable;  // of the devices
};

// Loads what is not loaded, once in a process: later calls give the first result. ggml's CPU backend must be there.
// Any thread, but no other may use ggml's list of devices during the first call.
const std::vector<LoadedGpuBackend>& load_gpu_backends();

// Loads one library of ggml's, or says why not. Likewise.
LoadedGpuBackend load_gpu_library(std::string_view name, const std::filesystem::path& library);

// The library that `error`, of dlopen, says is missing: "libcudart.so.13: cannot open shared object file: ...". Empty:
// it says something else.
std::string missing_library(std::string_view error);

}  // namespace hypura
