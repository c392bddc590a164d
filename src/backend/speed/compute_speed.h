// How fast ggml's CPU backend computes on this machine: the two products that a model is made of, by weight type, and
// the cost of an operation as such.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "hypura/profile.h"
#include "hypura/result.h"

struct ggml_threadpool;

namespace hypura {

struct ComputeTest {
  uint32_t threads = 1;
  ggml_threadpool* pool = nullptr;    // of `threads`; without one every graph starts threads of its own
  uint64_t weight_bytes = 256 << 20;  // of the matrices that one column is multiplied by; well above the caches,
                                      // at most 512 MiB
  int64_t matmul_size = 2048;         // rows and row length of the matrix that 512 columns are multiplied by
  double seconds = 0.1;               // for each figure, in two visits of at least one run
  std::function<void(double)> progress = {};  // called with a share of 0..1
};

struct ComputeSpeed {
  double processor_share = 0;  // as MachineProfile has it
  double operation_seconds = 0;
  double attention_per_second = 0;  // as MachineProfile has it
  double prompt_attention_per_second = 0;
  std::vector<KernelSpeed> kernels;  // in the order asked for
};

// The types that are measured whatever the model.
std::vector<std::string> usual_types();

// Whether weights can have this type: ggml knows it, can make it from floats and multiply by it.
bool is_weight_type(const std::string& type);

// Measures `types`, which must be weight types; a figure is the median of its runs. Weights are random numbers,
// quantised by ggml, in memory like that of streamed weights: huge pages, as they are in files, and repacked where ggml
// has a faster layout. The CPU backend must be loaded.
// Fails with kBudget when the memory cannot be had, with kUsage for a type that is none, with kInternal when ggml
// cannot compute.
Result<ComputeSpeed> measure_compute(std::span<const std::string> types, const ComputeTest& test);

}  // namespace hypura
