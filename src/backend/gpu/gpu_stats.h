// Counters of what a GPU computes with slots for some of its experts.
#pragma once

#include <atomic>
#include <cstdint>

#include "tiers/store_stats.h"

namespace hypura {

// Lookups and hits are those of the slots in the device's memory. A layer that passes through whole looks up all of its
// experts; one that has a slot for every expert looks up none. So what is looked up in the tier below is what was
// missed here. Prefetches are experts that were copied to the device on a prediction: those used count as misses here,
// and as found in the tier below. Written by the thread that computes, read by any.
struct GpuStats : StoreStats {
  std::atomic<uint64_t> uploaded_bytes{0};    // of experts, to the device
  std::atomic<uint64_t> downloaded_bytes{0};  // of experts that were evicted there, to RAM
  // Where the device computes in the machine's memory: experts read from disk on a prediction, and those of them used.
  std::atomic<uint64_t> read_ahead{0};
  std::atomic<uint64_t> read_ahead_used{0};
  std::atomic<double> read_wait_seconds{0};  // there: computation waited for a read
  std::atomic<uint64_t> staged_layers{0};    // brought whole, once for each pass that did
  std::atomic<uint64_t> cpu_experts{0};      // missed in decode passes, and computed by the processors
  std::atomic<uint64_t> seeded{0};           // experts that slots got from layers that were brought whole
  // Until the device had computed a router's choice; where it computes meanwhile, that time is its own.
  std::atomic<double> choice_wait_seconds{0};
  std::atomic<double> copy_wait_seconds{0};  // until slots in RAM were free because copies from or to them had ended
};

}  // namespace hypura
