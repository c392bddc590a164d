#include "backend/leased_experts.h"

#include <algorithm>
#include <utility>

namespace hypura {

// What was missing goes first when it has arrived, since its slot is wanted for the next read; what was there at once,
// whenever else there would be something to wait for.
Status LeasedExperts::compute(const ExpertBlock& block, Pairs pairs, const std::function<void()>& between) {
  const size_t all = store_.leases().size();
  size_t hit = 0;
  size_t miss = store_.hits();
  Status status;
  while (status && (hit < store_.hits() || miss < all)) {
    const bool arrived = miss < all && store_.ready(miss);
    const bool hits = hit < store_.hits() && !arrived;
    status = hits ? compute_hits(block, pairs, hit) : compute_misses(block, pairs, miss);
    if (between) {
      between();
    }
    if (status) {
      between_batches_();
    }
  }
  return status;
}

// Resident experts, from `begin` on, which is moved behind them.
Status LeasedExperts::compute_hits(const ExpertBlock& block, Pairs pairs, size_t& begin) {
  const size_t end = batch_end(block.layer, begin, store_.hits(), pairs);
  Status status = batch_.compute(block, chosen(std::exchange(begin, end), end, pairs));
  store_.poll();
  return status;
}

// Missing experts likewise, in the order of their reads; the first is waited for if need be. Some of those that have
// arrived are computed together: a few, where slots are wanted, so that the others are read into meanwhile.
Status LeasedExperts::compute_misses(const ExpertBlock& block, Pairs pairs, size_t& begin) {
  const size_t all = store_.leases().size();
  const size_t few = store_.wants_slots() ? std::max<size_t>(1, store_.misses_in_slots() / 4) : all;
  const size_t end = batch_end(block.layer, begin, std::min(all, begin + few), pairs);
  for (size_t lease = begin; lease < end; ++lease) {
    if (Status status = store_.wait(lease); !status) {
      return status;
    }
  }
  Status status = batch_.compute(block, chosen(begin, end, pairs));
  if (status) {
    store_.release_misses(end);
    begin = end;
  }
  return status;
}

// The leases from `begin` on that are computed in one call: as many as are ready and fit, or one with many rows. The
// first is waited for if need be.
size_t LeasedExperts::batch_end(uint32_t layer, size_t begin, size_t end, Pairs pairs) const {
  const uint32_t alone = batch_.own_call_rows(layer);
  const uint32_t most = std::min(max_rows_, ExpertBatch::kRowsTogether);
  size_t together = rows(begin, pairs);
  size_t i = begin + 1;
  while (rows(begin, pairs) < alone && i < end && rows(i, pairs) < alone && together + rows(i, pairs) <= most &&
         store_.ready(i)) {
    together += rows(i++, pairs);
  }
  return i;
}

std::span<const ChosenExpert> LeasedExperts::chosen(size_t begin, size_t end, Pairs pairs) {
  chosen_.clear();
  for (const ExpertStore::Lease& lease : store_.leases().subspan(begin, end - begin)) {
    chosen_.push_back({lease.expert(), lease.slot(), pairs[lease.expert()]});
  }
  return chosen_;
}

}  // namespace hypura
