// Computes the experts that a store has leased for a block: what was there at once, what was missing as it arrives.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "backend/expert_batch.h"
#include "backend/expert_block.h"
#include "tiers/expert_store.h"

namespace hypura {

// Not thread-safe: the owner serialises. The references must outlive the object.
class LeasedExperts {
 public:
  // By expert of the layer: the pairs (token * used + position) that chose it.
  using Pairs = std::span<const std::vector<uint32_t>>;

  // In batches of at most `max_rows` pairs.
  LeasedExperts(ExpertStore& store, ExpertBatch& batch, uint32_t max_rows)
      : store_(store), batch_(batch), max_rows_(max_rows) {}

  // To be called from now on between two batches of a block, when no slot is being computed with: the store may then be
  // resized.
  void between_batches(std::function<void()> call) { between_batches_ = std::move(call); }

  // Computes the pairs of all leases; the batch has kept the block's inputs. Releases what was missing as it is done.
  // Calls `between` now and then. Fails with kIo, with kInternal when ggml refused.
  Status compute(const ExpertBlock& block, Pairs pairs, const std::function<void()>& between = {});

  // The leases from `begin` to before `end`. Valid until the next call.
  std::span<const ChosenExpert> chosen(size_t begin, size_t end, Pairs pairs);

 private:
  Status compute_hits(const ExpertBlock& block, Pairs pairs, size_t& begin);
  Status compute_misses(const ExpertBlock& block, Pairs pairs, size_t& begin);
  size_t batch_end(uint32_t layer, size_t begin, size_t end, Pairs pairs) const;
  size_t rows(size_t lease, Pairs pairs) const { return pairs[store_.leases()[lease].expert()].size(); }

  ExpertStore& store_;
  ExpertBatch& batch_;
  uint32_t max_rows_;
  std::function<void()> between_batches_ = [] {};
  std::vector<ChosenExpert> chosen_;  // a member so that its memory is reused
};

}  // namespace hypura
