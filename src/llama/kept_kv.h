// The KvKeeper over a KvStore: decides what is worth keeping and fetching.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>

#include "kv/kv_store.h"
#include "llama/kv_keeper.h"
#include "llama/kv_states.h"

namespace hypura {

// Tokens after which the state of a running sequence is kept: another tail, or a prompt that was dropped and comes
// again, loses no more than these.
inline constexpr uint32_t kKvStride = 2048;

// What putting an entry that is in RAM into a context is reckoned with. Assumed.
inline constexpr double kHostBytesPerSecond = 2e9;

// What is known of speeds before anything was fetched.
struct KeptKvSpeeds {
  std::function<double(uint32_t tokens)> prompt_seconds;  // that evaluating so many tokens takes
  double disk_bytes_per_second = 0;
};

struct KeptKvStats {
  KvStoreStats store;
  uint64_t restored_tokens = 0;
};

class KeptKv final : public KvKeeper {
 public:
  // `states` must outlive the object.
  KeptKv(KvStates& states, std::unique_ptr<KvStore> store, KeptKvSpeeds speeds);

  std::unique_ptr<KvFetch> fetch(std::span<const int32_t> text, uint32_t held) override;
  void losing(uint32_t sequence, std::span<const int32_t> tokens, uint32_t left) override;
  Kept keep(uint32_t sequence, std::span<const int32_t> tokens, uint32_t& done, bool wait) override;
  uint32_t stride() const override;
  void note_busy(bool busy) override { store_->note_busy(busy); }

  KeptKvStats stats() const;  // any thread
  // As KvStore::set_most(). Any thread.
  void set_most(uint64_t bytes) { store_->set_most(bytes); }

 private:
  class Fetch;

  bool pays(uint64_t host_bytes, uint64_t disk_bytes, uint32_t from, uint32_t end) const;
  void note_fetched(uint64_t disk_bytes, double seconds, uint32_t tokens);
  std::optional<uint32_t> next_entry(std::span<const int32_t> tokens, uint32_t done);
  Kept keep_entry(uint32_t sequence, std::span<const int32_t> text, uint32_t from, bool wait);

  KvStates& states_;
  const std::unique_ptr<KvStore> store_;
  const KeptKvSpeeds speeds_;
  double disk_bytes_per_second_;
  std::atomic<uint64_t> restored_tokens_ = 0;
};

}  // namespace hypura
