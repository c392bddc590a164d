#include "residency/spread_order.h"

#include <bit>

namespace hypura {

// Van der Corput's sequence: the numbers by their bits in reverse.
std::vector<uint32_t> spread_order(uint32_t count) {
  std::vector<uint32_t> order;
  order.reserve(count);
  const uint32_t all = std::bit_ceil(count);
  uint32_t at = 0;
  for (uint32_t i = 0; i < all; ++i) {
    if (at < count) {
      order.push_back(at);
    }
    uint32_t bit = all / 2;
    while (bit > 0 && (at & bit) != 0) {
      at ^= bit;
      bit /= 2;
    }
    at |= bit;
  }
  return order;
}

std::vector<uint32_t> in_spread_order(const std::vector<bool>& all) {
  std::vector<uint32_t> items;
  for (uint32_t item = 0; item < all.size(); ++item) {
    if (all[item]) {
      items.push_back(item);
    }
  }
  std::vector<uint32_t> ordered;
  for (const uint32_t i : spread_order(static_cast<uint32_t>(items.size()))) {
    ordered.push_back(items[i]);
  }
  return ordered;
}

std::vector<bool> first_that_fit(const std::vector<bool>& all, std::span<const uint64_t> sizes, uint64_t bytes) {
  std::vector<bool> kept(all.size());
  for (const uint32_t item : in_spread_order(all)) {
    if (sizes[item] > bytes) {
      break;
    }
    bytes -= sizes[item];
    kept[item] = true;
  }
  return kept;
}

}  // namespace hypura
