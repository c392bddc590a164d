// The part of ExpertStore that has fewer slots, and more again.
#include <algorithm>
#include <functional>

#include "tiers/expert_store.h"

namespace hypura {

bool ExpertStore::resize(const Sizes& sizes) {
  if (!leases_.empty() || !lowered_.empty()) {
    return false;
  }
  stop_warming();
  streaming_ = false;
  cancel_prefetches();
  end_all_unwanted();
  const uint32_t before = cache_.slots();
  const auto moves = cache_.resize(sizes.slots, sizes.spare, sizes.quotas);
  if (!moves) {
    return false;
  }
  for (const ExpertCache::Move& move : *moves) {
    slots_->move(move.from, move.to);
  }
  if (sizes.slots != before) {
    slots_->resize(sizes.slots);
  }
  return true;
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
