#include "residency/warm_order.h"

#include <array>

namespace hypura {

std::vector<LayerExpert> warm_order(std::span<const LayerExpert> hot, std::span<const uint32_t> here, size_t worker,
                                    size_t workers) {
  std::array<std::vector<LayerExpert>, 3> parts;  // its own, the others' workers', this machine's
  std::vector<uint32_t> seen(here.size());
  for (const LayerExpert& it : hot) {
    const uint32_t rank = seen[it.layer]++;
    const uint32_t kept = here[it.layer];
    const bool own = rank >= kept && (rank - kept) % workers == worker;
    parts[own ? 0 : rank >= kept ? 1 : 2].push_back(it);
  }
  std::vector<LayerExpert> order;
  for (const std::vector<LayerExpert>& part : parts) {
    order.insert(order.end(), part.begin(), part.end());
  }
  return order;
}

}  // namespace hypura
