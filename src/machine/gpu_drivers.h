// Which drivers for GPUs the system has, whatever can be computed with them.
#pragma once

#include <filesystem>
#include <string>

namespace hypura {

struct GpuDrivers {
  bool nvidia = false;         // NVIDIA's
  std::string nvidia_version;  // "580.65.06"; empty where the system does not tell
  bool render_node = false;    // the kernel has a GPU to compute on, of whatever maker

  bool any() const { return nvidia || render_node; }
};

// `root` is put before /proc, /sys and /dev paths, so that tests can use recorded files ("" in use). What cannot be
// read is left out. macOS has Metal, and nothing to tell here. Thread-safe.
GpuDrivers read_gpu_drivers(const std::filesystem::path& root = {});

}  // namespace hypura
