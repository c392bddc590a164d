// Counters of the stores.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "support/elapsed.h"

namespace hypura {

// Written by the thread that uses the stores, read by any. "Lookups" and "hits" count experts once per layer and pass.
struct StoreStats {
  std::atomic<uint64_t> decode_lookups{0};
  std::atomic<uint64_t> decode_hits{0};  // resident when asked for; never what was prefetched
  std::atomic<uint64_t> prefill_lookups{0};
  std::atomic<uint64_t> prefill_hits{0};
  std::atomic<uint64_t> prefetches{0};  // experts brought on a prediction, in decode passes
  std::atomic<uint64_t> prefetches_used{
      0};  // of these, asked for by the layer they were brought for: lookups, never hits
  // In decode passes: experts predicted for the next layer, in memory or not; those of them that it chose; and all that
  // such layers chose: correct / predictions is their precision, correct / predictable their recall.
  std::atomic<uint64_t> predictions{0};
  std::atomic<uint64_t> predictions_correct{0};
  std::atomic<uint64_t> predictable{0};
  std::atomic<uint64_t> lowered{0};        // experts that came down from the tier above, which gave them up
  std::atomic<uint64_t> warmed{0};         // experts read before the first pass, because earlier runs used them
  std::atomic<uint64_t> warm_bytes{0};     // of them
  std::atomic<uint64_t> table_lookups{0};  // rows of tables, in any pass
  std::atomic<uint64_t> table_reads{0};    // of these, from disk
  std::atomic<double> io_wait_seconds{0};  // computation waited for a read
};

// Adds to a counter that only one thread writes.
inline void add_seconds(std::atomic<double>& counter, std::chrono::steady_clock::time_point start) {
  counter.store(counter.load(std::memory_order_relaxed) + seconds_since(start), std::memory_order_relaxed);
}

}  // namespace hypura
