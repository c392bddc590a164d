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

std::vector<bool> choose_pinned(const std::vector<uint64_t>& items, const std::vector<int>& parts, uint64_t bytes) {
  std::vector<uint64_t> alone;
  std::vector<uint64_t> whole(1 + static_cast<size_t>(*std::ranges::max_element(parts)));
  for (size_t i = 0; i < items.size(); ++i) {
    if (parts[i] < 0) {
      alone.push_back(items[i]);
    } else {
      whole[static_cast<size_t>(parts[i])] += items[i];
    }
  }
  const std::vector<bool> alone_stay = choose_pinned(alone, bytes);
  std::vector<bool> pinned(items.size());
  uint64_t left = bytes;
  for (size_t i = 0, next = 0; i < items.size(); ++i) {
    pinned[i] = parts[i] < 0 && alone_stay[next++];
    left -= pinned[i] ? items[i] : 0;
  }
  const std::vector<bool> whole_stay = choose_pinned(whole, left);
  for (size_t i = 0; i < items.size(); ++i) {
    if (parts[i] >= 0 && whole_stay[static_cast<size_t>(parts[i])]) {
      pinned[i] = true;
      left -= items[i];
    }
  }
  for (size_t i = 0; i < items.size(); ++i) {
    if (!pinned[i] && items[i] <= left) {
      pinned[i] = true;
      left -= items[i];
    }
  }
  return pinned;
}

}  // namespace hypura
