// Which dense weights stay when not all can.
#pragma once

#include <cstdint>
#include <vector>

namespace hypura {

// Spreads the weights that stay evenly over the order of use, so that the disk has work while they are computed.
// `items` are sizes in bytes in the order of use; those chosen add up to at most `bytes`.
std::vector<bool> choose_pinned(const std::vector<uint64_t>& items, uint64_t bytes);

// The same beside workers. `parts`: by item, the number of the part that it belongs to, which a worker may compute as a
// whole; -1: none. What no worker computes stays first, then whole parts: half a part would lie here in vain. The rest
// is for what fits.
std::vector<bool> choose_pinned(const std::vector<uint64_t>& items, const std::vector<int>& parts, uint64_t bytes);

}  // namespace hypura
