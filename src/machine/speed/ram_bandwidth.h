// How fast threads can read RAM.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "hypura/result.h"

namespace hypura {

struct RamTest {
  uint32_t threads = 1;                       // the most; 1 and all numbers up to it are measured
  uint64_t bytes = 256 << 20;                 // of the memory that is read, all threads together; well above the caches
  double seconds = 0.2;                       // for each number of threads
  std::function<void(double)> progress = {};  // called with a share of 0..1
};

// Bytes per second that n threads read together, at [n-1]. The memory is in huge pages where the system gives them, as
// weights are. Fails with kBudget when it cannot be had, with kInternal when a thread cannot be started.
Result<std::vector<double>> measure_ram(const RamTest& test);

}  // namespace hypura
