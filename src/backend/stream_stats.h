// Counters of the streaming backend.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "support/elapsed.h"

namespace hypura {

enum class Phase : uint8_t { kPrefill, kDecode };

// Written by the thread that computes, read by any. "Lookups" and "hits" count experts once per layer and pass.
struct StreamStats {
  std::atomic<Phase> phase{Phase::kPrefill};
  std::atomic<uint64_t> decode_lookups{0};
  std::atomic<uint64_t> decode_hits{0};
  std::atomic<uint64_t> prefill_lookups{0};
  std::atomic<uint64_t> prefill_hits{0};
  std::atomic<uint64_t> ahead_reads{0};  // experts read ahead on a guess, in decode passes
  std::atomic<uint64_t> ahead_used{0};   // of these, asked for by the layer they were read for: lookups, never hits
  // Guesses of what the next layer chooses, in memory or not, in decode passes; those that it chose; and all that the
  // layers chose that were guessed for: right / guesses is their precision, right / among their recall.
  std::atomic<uint64_t> guesses{0};
  std::atomic<uint64_t> guesses_right{0};
  std::atomic<uint64_t> guesses_among{0};
  std::atomic<uint64_t> warmed{0};         // experts read before the first pass, because earlier runs used them
  std::atomic<uint64_t> warm_bytes{0};     // of them
  std::atomic<double> io_wait_seconds{0};  // computing stood still for a read
  std::atomic<double> compute_seconds{0};  // in operations with streamed weights, waits left out
};

// Adds to a counter that only one thread writes.
inline void add_seconds(std::atomic<double>& counter, std::chrono::steady_clock::time_point start) {
  counter.store(counter.load(std::memory_order_relaxed) + seconds_since(start), std::memory_order_relaxed);
}

}  // namespace hypura
