// The memory that the runs of `hypura bench` get, and when a baseline is refused. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/bench_options.h"
#include "bench/isolation/capabilities.h"
#include "hypura/result.h"

namespace hypura {

struct BenchLimits {
  uint64_t cgroup = 0;   // bytes of each run's cgroup; 0: none
  bool repack = true;    // plain llama.cpp may copy its weights
  std::string sentence;  // how the runs are held, for people
};

// `model_bytes` is what a mapped model may fill, `allowed` what this process may still take of the machine's memory.
//
// With a budget the cgroup is limit_of() it. Without one there is none, unless plain llama.cpp could fill the machine:
// then both get what is allowed, less a twentieth. Fails with kUsage when nothing can hold the baseline and it is not
// forced.
Result<BenchLimits> choose_limits(const BenchOptions& options, const Capabilities& capabilities, uint64_t model_bytes,
                                  uint64_t allowed);

// A sentence for each thing that was not controlled: what, why, and which figures it costs.
std::vector<std::string> uncontrolled(const BenchOptions& options, const Capabilities& capabilities,
                                      const BenchLimits& limits);

}  // namespace hypura
