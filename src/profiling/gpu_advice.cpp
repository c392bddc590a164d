#include "profiling/gpu_advice.h"

#include <fmt/format.h>

#include <charconv>

namespace hypura {

namespace {

constexpr const char* kUseVulkan = "use Vulkan: make build GPU=vulkan";

// False where the version is not known.
bool is_old(const GpuDrivers& drivers) {
  const std::string& version = drivers.nvidia_version;
  int major = 0;
  const auto [end, error] = std::from_chars(version.data(), version.data() + version.size(), major);
  return error == std::errc() && major < kOldestNvidiaDriver;
}

std::string old_driver(const GpuDrivers& drivers) {
  return fmt::format("NVIDIA's driver {} is older than CUDA 13 needs, which is {}", drivers.nvidia_version,
                     kOldestNvidiaDriver);
}

void explain_missing_library(GpuBackendInfo& info, const GpuDrivers& drivers) {
  info.problem = fmt::format("its library needs {}, which this system does not have", info.missing_library);
  if (info.missing_library == "libcuda.so.1") {
    info.advice = fmt::format("for a GPU of NVIDIA's, install its driver, version {} or newer", kOldestNvidiaDriver);
  } else if (info.name == "CUDA") {
    info.problem += is_old(drivers) ? "; and " + old_driver(drivers) : "";
    info.advice = fmt::format(
        "install {}CUDA 13's runtime libraries (NVIDIA's packages cuda-cudart-13-0 and libcublas-13-0), or {}",
        is_old(drivers) ? "a newer driver and " : "", kUseVulkan);
  } else {
    info.advice = "install the Vulkan loader (Debian's package libvulkan1) and your GPU's Vulkan driver";
  }
}

void explain_no_library(GpuBackendInfo& info, const GpuDrivers& drivers) {
  if (info.name == "Metal") {
    info.problem = "llama.cpp was built without it";
    return;
  }
  info.problem = "its library was not fetched";
  if (info.name == "CUDA") {
    if (!drivers.nvidia) {
      info.problem += "; and there is no driver of NVIDIA's";
    } else if (is_old(drivers)) {
      info.problem += "; and " + old_driver(drivers);
      info.advice = fmt::format("install a newer driver, then make build GPU=cuda, or {}", kUseVulkan);
    } else {
      info.advice = "make build GPU=cuda";
    }
    return;
  }
  if (drivers.any()) {
    info.advice = "make build GPU=vulkan";
  } else {
    info.problem += "; and there is no driver of a GPU";
  }
}

void explain_no_devices(GpuBackendInfo& info, const LoadedGpuBackend& backend, const GpuDrivers& drivers) {
  info.problem = backend.error.empty() ? "it finds no GPU" : "it finds no GPU: " + backend.error;
  if (info.name == "CUDA" && is_old(drivers)) {
    info.problem = old_driver(drivers);
    info.advice = fmt::format("install a newer driver, or {}", kUseVulkan);
  } else if (info.name == "Vulkan" && drivers.any()) {
    info.advice =
        "install your GPU's Vulkan driver (Debian's package mesa-vulkan-drivers for AMD and Intel; NVIDIA's driver "
        "brings its own)";
  }
}

}  // namespace

GpuBackendInfo explain_backend(const LoadedGpuBackend& backend, const GpuDrivers& drivers) {
  GpuBackendInfo info;
  info.name = backend.name;
  info.library = backend.library.string();
  info.found = backend.loaded || !backend.library.empty();
  info.missing_library = backend.missing_library;
  if (backend.devices > 0) {
    return info;
  }
  if (!info.found) {
    explain_no_library(info, drivers);
  } else if (!info.missing_library.empty()) {
    explain_missing_library(info, drivers);
  } else if (!backend.loaded) {
    info.problem = backend.error.empty() ? "its library cannot be used: its driver does not start"
                                         : "its library cannot be loaded: " + backend.error;
  } else {
    explain_no_devices(info, backend, drivers);
  }
  return info;
}

void explain_unusable(const UnusableGpu& unusable, GpuDeviceInfo& device) {
  if (unusable.newer_driver) {
    device.problem = fmt::format(
        "llama.cpp's CUDA library has code for GPUs of compute capability {} that the driver has to compile, and the "
        "driver knows CUDA {}, which is older than that code",
        unusable.capability, unusable.driver_cuda);
    device.advice = fmt::format("install NVIDIA's driver {} or newer, or {}", kOldestPtxDriver, kUseVulkan);
    return;
  }
  device.problem = fmt::format(
      "the driver cannot use the code that llama.cpp's CUDA library has for GPUs of compute capability {} ({})",
      unusable.capability, unusable.error);
  device.advice = kUseVulkan;
}

}  // namespace hypura
