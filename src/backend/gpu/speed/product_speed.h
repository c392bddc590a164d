// How fast a device multiplies by the weights in its memory.
#pragma once

#include <string>

#include "backend/gpu/speed/device_bench.h"
#include "hypura/profile.h"
#include "hypura/result.h"

namespace hypura {

// Of weights that a bench must have for that size.
uint64_t least_weight_bytes(int64_t size);

// Products with weights of `type`, which fill all of the bench's memory when it returns. `size`: rows and row length of
// the matrix that many tokens go through, a multiple of 256; `seconds` for each figure. Fails with kUsage when weights
// cannot have the type, with kBudget and kInternal as BenchGraph.
Result<GpuKernelSpeed> measure_products(DeviceBench& bench, const std::string& type, int64_t size, double seconds);

}  // namespace hypura
