#include "backend/leased_experts.h"

namespace hypura {

Status LeasedExperts::compute(const ExpertBlock& block, Pairs pairs) {
  Status status = compute_hits(block, pairs);
  return status ? compute_misses(block, pairs) : status;
}

// Resident experts, in batches; between batches reads are given the chance to go on.
Status LeasedExperts::compute_hits(const ExpertBlock& block, Pairs pairs) {
  for (size_t done = 0; done < store_.hits();) {
    const size_t end = batch_end(done, store_.hits(), pairs);
    if (Status status = batch_.compute(block, chosen(done, end, pairs)); !status) {
      return status;
    }
    store_.poll();
    done = end;
  }
  return {};
}

// Missing experts, in the order of their reads; those that have arrived together are computed together.
Status LeasedExperts::compute_misses(const ExpertBlock& block, Pairs pairs) {
  const size_t all = store_.leases().size();
  for (size_t done = store_.hits(); done < all;) {
    const size_t end = batch_end(done, all, pairs);
    for (size_t lease = done; lease < end; ++lease) {
      if (Status status = store_.wait(lease); !status) {
        return status;
      }
    }
    if (Status status = batch_.compute(block, chosen(done, end, pairs)); !status) {
      return status;
    }
    store_.release_misses(end);
    done = end;
  }
  return {};
}

// The leases from `begin` on that are computed in one call: as many as are ready and fit the row buffers, or one with
// many rows. The first is waited for if need be.
size_t LeasedExperts::batch_end(size_t begin, size_t end, Pairs pairs) const {
  uint64_t together = rows(begin, pairs);
  size_t i = begin + 1;
  while (rows(begin, pairs) < ExpertBatch::kOwnCallRows && i < end && rows(i, pairs) < ExpertBatch::kOwnCallRows &&
         together + rows(i, pairs) <= max_rows_ && store_.ready(i)) {
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
