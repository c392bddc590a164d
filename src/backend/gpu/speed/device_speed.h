// How fast a GPU is: copies to and from it, what cutting a graph costs, products with weights in its memory.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "backend/gpu/speed/repeated_runs.h"
#include "hypura/profile.h"
#include "hypura/result.h"

struct ggml_threadpool;

namespace hypura {

struct GpuTest {
  uint64_t weight_bytes = 256 << 20;  // of weights on the device: well above the caches; no more than a quarter of what
                                      // is free there
  uint64_t copy_bytes = 64 << 20;     // of host memory that is copied from and to, pinned where there is such
  int64_t matmul_size = 4096;         // rows and row length of the matrix that many tokens go through
  double seconds = 0.03;              // for each figure, at least one run
  uint32_t threads = 1;               // these two where the device is the CPU
  ggml_threadpool* pool = nullptr;    // of `threads`
  std::function<void(double)> progress = {};  // called with a share of 0..1
  RunClock clock = {};                        // none: the system's
};

// Measures the device that ggml calls `name`, with weights of `types`, which must be weight types (compute_speed.h): in
// about two seconds on a GPU; the CPU, taken for one, needs several. Nothing else must compute meanwhile. The backends
// must be loaded. `measured_at` is left empty. A part that cannot be measured is 0, or left out, and a warning names
// it; what is measured is a number, however fast the device is. Fails with kUsage for a device that there is not, with
// kBudget when it has no memory free, with kInternal when it computes nothing.
Result<GpuProfile> measure_gpu(const std::string& name, std::span<const std::string> types, const GpuTest& test);

// GpuProfile::cut_seconds alone, in some milliseconds. Likewise.
Result<double> measure_gpu_cut(const std::string& name);

// The types alone: those that could be measured, with a warning for each other. Fails where none could.
Result<std::vector<GpuKernelSpeed>> measure_gpu_kernels(const std::string& name, std::span<const std::string> types,
                                                        const GpuTest& test);

}  // namespace hypura
