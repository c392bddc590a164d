// Counters of one worker, in all passes.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

namespace hypura {

// Written by the thread that computes, read by any.
struct WorkerStats {
  std::string name;  // its address
  std::atomic<bool> joined{false};
  std::atomic<uint64_t> asks{0};        // one for each layer that it computed some of: round trips
  std::atomic<uint64_t> experts{0};     // that it computed, once for each layer and pass
  std::atomic<uint64_t> hits{0};        // of these, in its memory when asked for
  std::atomic<uint64_t> rows{0};        // of their results
  std::atomic<uint64_t> rows_here{0};   // that it was asked for, and this machine computed after all
  std::atomic<uint64_t> losses{0};      // times that it was lost
  std::atomic<uint64_t> read_bytes{0};  // that it read for what it was asked
  std::atomic<uint64_t> sent_bytes{0};  // to it, by all sessions that have been used
  std::atomic<uint64_t> received_bytes{0};
  std::atomic<double> wait_seconds{0};  // computation waited for it
};

}  // namespace hypura
