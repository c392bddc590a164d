#include "placement/pinning.h"

#include <algorithm>

namespace hypura {

std::vector<bool> choose_pinned(const std::vector<uint64_t>& items, uint64_t bytes) {
  uint64_t total = 0;
  for (uint64_t size : items) {
    total += size;
  }
  std::vector<bool> pinned(items.size());
  // A line of slope bytes/total is followed as closely as whole items allow.
  const double share = total == 0 ? 0 : std::min(1.0, static_cast<double>(bytes) / static_cast<double>(total));
  double wanted = 0;
  uint64_t taken = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    wanted += share * static_cast<double>(items[i]);
    if (static_cast<double>(taken) + static_cast<double>(items[i]) / 2 <= wanted && taken + items[i] <= bytes) {
      pinned[i] = true;
      taken += items[i];
    }
  }
  for (size_t i = 0; i < items.size(); ++i) {  // what rounding left
    if (!pinned[i] && taken + items[i] <= bytes) {
      pinned[i] = true;
      taken += items[i];
    }
  }
  return pinned;
}

}  // namespace hypura
