// Which experts are worth having before anything is asked for: those that earlier runs used most.
#pragma once

#include <cstdint>
#include <vector>

#include "hypura/routing.h"
#include "residency/layer_expert.h"

namespace hypura {

// Of each layer of `trace` the experts that most of its tokens chose, at most `quotas[layer]` and none that no token
// chose; those of all layers together, most chosen first, of equals the lower layer and the lower number. `skipped`, by
// layer: so many of the most chosen are left out, since another tier has them; empty: none.
std::vector<LayerExpert> hot_set(const RoutingTrace& trace, const std::vector<uint32_t>& quotas,
                                 const std::vector<uint32_t>& skipped = {});

}  // namespace hypura
