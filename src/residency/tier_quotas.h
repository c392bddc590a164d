// How the slots of one tier are divided among the layers when another tier above it holds some experts of each.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hypura {

// Of one layer.
struct TierShare {
  uint32_t experts = 0;  // that it has
  uint32_t above = 0;    // of them, as many as the tier above holds
};

// How many experts the tier below is to keep of each layer, which add up to at most `slots`: as many as `wanted` says,
// but none that the tier above holds anyway. What that leaves goes to the layers that lack most. Where everything is
// held once and slots are left, they hold some twice. `wanted`, empty: as many for one layer as for another.
std::vector<uint32_t> quotas_below(std::span<const TierShare> layers, std::span<const uint32_t> wanted, uint32_t slots);

}  // namespace hypura
