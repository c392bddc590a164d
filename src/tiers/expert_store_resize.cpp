// The part of ExpertStore that has fewer slots, and more again.
#include <algorithm>
#include <cstdint>
#include <functional>

#include "tiers/expert_store.h"

namespace hypura {

bool ExpertStore::resize(const Sizes& sizes) {
  if (!lowered_.empty()) {
    return false;
  }
  const auto is_pinned = [](const Lease& it) { return it.state_ == Lease::State::kPinned; };
  const auto pinned = static_cast<uint32_t>(std::ranges::count_if(leases_, is_pinned));
  if (pinned > 0 && pinned >= sizes.slots) {
    return false;  // before reads are ended for nothing
  }
  stop_warming();
  streaming_ = streaming_ && !leases_.empty();
  end_requests();
  cancel_prefetches();
  end_all_unwanted();
  const uint32_t before = cache_.slots();
  uint64_t expert_bytes = 1;
  for (const ExpertLayer& layer : layers_) {
    expert_bytes = std::max(expert_bytes, layer.expert_bytes());
  }
  const auto most_moves = static_cast<uint32_t>(std::min<uint64_t>(kMostMovedBytes / expert_bytes, UINT32_MAX));
  const auto moves = cache_.resize({sizes.slots, sizes.spare, sizes.quotas, pinned, most_moves});
  if (moves) {
    for (const ExpertCache::Move& move : *moves) {
      slots_->move(move.from, move.to);
    }
    for (Lease& it : leases_) {
      if (is_pinned(it)) {
        it.fill_.slot = *cache_.slot_of(layer_, it.expert_);
      }
    }
    if (sizes.slots != before) {
      slots_->resize(sizes.slots);
    }
  }
  go_on_after_resize();
  return moves.has_value();
}

// What the layer in work has requested, and was not waited for, is as if it had not been: also what has arrived, since
// it may lie behind the last slot that there will be.
void ExpertStore::end_requests() {
  const std::span<Lease> under_way = std::span(leases_).subspan(arrived_, requested_ - arrived_);
  for (const Lease& it : under_way) {
    slots_->cancel(it.fill_);
  }
  for (Lease& it : under_way) {
    static_cast<void>(slots_->wait(it.fill_));  // it is read again, and then who waits for it is told
    cache_.abandon(layer_, it.expert_);
    it.state_ = Lease::State::kQueued;
  }
  requested_ = arrived_;
}

void ExpertStore::go_on_after_resize() {
  if (leases_.empty()) {
    return;
  }
  request_misses();
  streamed_ = 0;
  if (streaming_) {
    go_on_streaming();
  } else if (arrived_ == leases_.size()) {
    start_prefetch();
  }
}

void ExpertStore::warm_again() {
  struct Absent {
    double worth = 0;
    LayerExpert expert;
  };
  std::vector<Absent> all;
  for (uint32_t layer = 0; layer < layers_.size(); ++layer) {
    std::vector<Absent> its;
    for (uint32_t expert = 0; expert < layers_[layer].experts; ++expert) {
      if (cache_.absent(layer, expert) && cache_.worth(layer, expert) > 0) {
        its.push_back({cache_.worth(layer, expert), {layer, expert}});
      }
    }
    std::ranges::sort(its, std::ranges::greater(), &Absent::worth);
    its.resize(std::min<size_t>(its.size(), cache_.quota(layer) - std::min(cache_.quota(layer), cache_.held(layer))));
    all.insert(all.end(), its.begin(), its.end());
  }
  std::ranges::stable_sort(all, std::ranges::greater(), &Absent::worth);
  std::vector<LayerExpert> hot;
  for (const Absent& it : all) {
    hot.push_back(it.expert);
  }
  warm_with(hot);
}

}  // namespace hypura
