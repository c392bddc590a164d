// Which dense weights stay when not all can.
#pragma once

#include <cstdint>
#include <vector>

namespace hypura {

// Spreads the weights that stay evenly over the order of use, so that the disk has work while they are computed.
// `items` are sizes in bytes in the order of use; those chosen add up to at most `bytes`.
std::vector<bool> choose_pinned(const std::vector<uint64_t>& items, uint64_t bytes);

}  // namespace hypura
