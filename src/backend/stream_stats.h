// Counters of the streaming backend.
#pragma once

#include <atomic>
#include <cstdint>

#include "tiers/store_stats.h"

namespace hypura {

enum class Phase : uint8_t { kPrefill, kDecode };

// Written by the thread that computes, read by any.
struct StreamStats : StoreStats {
  std::atomic<Phase> phase{Phase::kPrefill};
  std::atomic<uint64_t> host_lookups{0};   // of decode_lookups, in layers that the processors compute beside GPUs
  std::atomic<double> compute_seconds{0};  // in operations with streamed weights, waits left out
};

}  // namespace hypura
