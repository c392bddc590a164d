// How fast a device copies, and what a cut and a small operation cost there.
#pragma once

#include <vector>

#include "backend/gpu/speed/device_bench.h"
#include "hypura/profile.h"
#include "hypura/result.h"

namespace hypura {

// Copies of 64 KiB to 16 MiB between the bench's memory of the host and its weights, `seconds` for each figure.
std::vector<CopyPoint> measure_copies(DeviceBench& bench, double seconds);

// Uploads of 1 MiB from memory that the device does not know, and whether such memory can be registered with it. Fails
// with kBudget when there is no memory.
struct OwnMemory {
  double upload_bytes_per_second = 0;
  bool registers = false;
};
Result<OwnMemory> measure_own_memory(DeviceBench& bench, double seconds);

// One node of a graph, each with what the last one gave. Fails as BenchGraph.
Result<double> measure_operation(DeviceBench& bench, double seconds);

// GpuProfile::cut_seconds. Fails as BenchGraph.
Result<double> measure_cut(DeviceBench& bench, double seconds);

// GpuProfile::attention_per_second, where an operation takes `operation` seconds. Fills the bench's memory. Fails as
// BenchGraph.
Result<double> measure_attention(DeviceBench& bench, double operation, double seconds);

}  // namespace hypura
