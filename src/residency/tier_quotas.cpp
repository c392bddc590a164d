#include "residency/tier_quotas.h"

#include <algorithm>
#include <cassert>

namespace hypura {

namespace {

// Gives `left` slots one by one to the layer that is furthest from its most.
void fill_up(std::vector<uint32_t>& quotas, const std::vector<uint32_t>& most, uint32_t left) {
  for (; left > 0; --left) {
    size_t neediest = 0;
    for (size_t i = 1; i < quotas.size(); ++i) {
      neediest = most[i] - quotas[i] > most[neediest] - quotas[neediest] ? i : neediest;
    }
    if (quotas[neediest] >= most[neediest]) {
      return;
    }
    ++quotas[neediest];
  }
}

uint32_t sum_of(const std::vector<uint32_t>& quotas) {
  uint32_t sum = 0;
  for (const uint32_t quota : quotas) {
    sum += quota;
  }
  return sum;
}

}  // namespace

std::vector<uint32_t> quotas_below(std::span<const TierShare> layers, std::span<const uint32_t> wanted,
                                   uint32_t slots) {
  assert(!layers.empty() && (wanted.empty() || wanted.size() == layers.size()));
  const auto count = static_cast<uint32_t>(layers.size());
  std::vector<uint32_t> quotas;
  std::vector<uint32_t> lacking;
  std::vector<uint32_t> all;
  for (uint32_t i = 0; i < count; ++i) {
    const TierShare& layer = layers[i];
    const uint32_t even = slots / count + (i < slots % count ? 1 : 0);
    all.push_back(layer.experts);
    lacking.push_back(layer.experts - std::min(layer.experts, layer.above));
    quotas.push_back(std::min(lacking.back(), wanted.empty() ? even : wanted[i]));
  }
  fill_up(quotas, lacking, slots - std::min(slots, sum_of(quotas)));
  fill_up(quotas, all, slots - std::min(slots, sum_of(quotas)));
  return quotas;
}

}  // namespace hypura
