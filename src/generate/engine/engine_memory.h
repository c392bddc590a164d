// The memory of an open model, less and more of it.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "hypura/memory.h"
#include "hypura/result.h"
#include "llama/kept_kv.h"
#include "load/memory_share.h"
#include "load/open_model.h"

namespace hypura {

// Thread-safe. All else of the model is for others; only its caches' sizes, their reservations and the budget's limit
// change here.
class EngineMemory {
 public:
  // Both must outlive the object; `kept` may be null.
  EngineMemory(OpenModel& model, KeptKv* kept);

  // As Engine::memory() and Engine::set_memory().
  MemoryState state() const;
  Status set(uint64_t bytes, std::string_view why);

  // Whether there was ever less than it was opened with: then what passes took says nothing about the plan. Never
  // blocks.
  bool has_changed() const { return has_changed_; }

 private:
  Status divide(uint64_t bytes);
  std::string sentence_of(uint64_t bytes, std::string_view why) const;
  uint64_t cache_bytes() const;

  OpenModel& model_;
  KeptKv* const kept_;
  const uint64_t kept_most_;  // bytes of entries as opened
  const uint64_t kept_reserved_;
  const uint64_t ram_limit_;  // of the budget as opened
  MemoryRange range_;
  double opened_seconds_ = 0;  // of a token
  std::atomic<bool> has_changed_{false};

  std::mutex changing_;       // one change at a time
  mutable std::mutex mutex_;  // guards state_; locked after the other
  MemoryState state_;
};

}  // namespace hypura
