// The GPUs that a model may be computed on, and why others are not among them.
//
// llama.cpp has a library for each way to a GPU: CUDA and Vulkan on Linux, Metal on macOS. The first call of any of
// these functions loads those that are beside its other libraries, once in a process. It takes some tenths of a second
// where there is a GPU, and must not meet another thread's first use of llama.cpp. Later calls are for any thread.
// Sizes are in bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hypura/result.h"

namespace hypura {

struct GpuDeviceInfo {
  std::string name;           // what options call it: "CUDA0", "Vulkan0", "MTL0"
  std::string description;    // the driver's name for it: "NVIDIA H200"
  std::string backend;        // "CUDA", "Vulkan", "Metal"
  std::string bus;            // its PCI address, "0000:c1:00.0"; empty where unknown
  std::string same_as;        // the device listed before that is the same GPU by another backend; empty: none
  uint64_t memory_total = 0;  // of its own; the machine's where it has none
  uint64_t memory_free = 0;   // when it was asked
  bool integrated = false;    // it has no memory of its own
  // It computes with weights wherever they lie in the machine's memory, as Apple's GPUs do: what is read for it is read
  // to where it computes.
  bool computes_in_ram = false;
  bool pinned_memory = false;    // it reads RAM that its driver has pinned, several times as fast as other RAM
  bool async = false;            // it copies while it computes,
  bool events = false;           // and can wait for a copy's end by itself
  bool flash_attention = false;  // it has kernels for attention that need no memory for the scores
  std::string problem;           // why it cannot compute; empty: it can, as far as is known
  std::string advice;            // what to do about that
};

// A way to GPUs.
struct GpuBackendInfo {
  std::string name;             // as GpuDeviceInfo::backend
  std::string library;          // the file of its library; empty: there is none, or it is part of llama.cpp
  bool found = false;           // there is a library, or it is part of llama.cpp
  std::string missing_library;  // what its library needs and the system does not have: "libcudart.so.13"
  std::string problem;          // why it has no devices; empty where it has some
  std::string advice;           // what to do about it; empty where nothing can be done, or need be
};

// All GPUs, in the order of their backends. None also where llama.cpp's libraries cannot be loaded: opening a model
// tells that.
std::vector<GpuDeviceInfo> gpu_devices();

// All ways to GPUs that this system may have, whether they found one or not.
std::vector<GpuBackendInfo> gpu_backends();

// The device that options call `name`, in upper or lower case. "CPU" too, which is no GPU and is not listed:
// llama.cpp's own device for the processor, treated as one, for tests. Fails with kUsage: says which devices there are,
// or why this one cannot compute.
Result<GpuDeviceInfo> find_gpu(std::string_view name);

// Those of `devices` that may be used where the user names none, each once: GPUs with memory of their own, and those
// that compute in the machine's, unless they have a problem. Others that are integrated copy within the RAM that
// weights lie in anyway.
std::vector<GpuDeviceInfo> gpus_by_default(const std::vector<GpuDeviceInfo>& devices);

}  // namespace hypura
