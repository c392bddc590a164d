// In which order some of a line's things are kept when not all can be: as many as there are, they lie evenly on it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hypura {

// 0..count-1, each once, so that the first few, however many these are, are spread evenly over the line.
std::vector<uint32_t> spread_order(uint32_t count);

// Of the items that are true in `all`, those that come first in that order and together take at most `bytes`. `sizes`:
// of all items.
std::vector<bool> first_that_fit(const std::vector<bool>& all, std::span<const uint64_t> sizes, uint64_t bytes);

// The items that are true in `all`, in that order.
std::vector<uint32_t> in_spread_order(const std::vector<bool>& all);

}  // namespace hypura
