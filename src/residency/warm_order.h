// What each of several machines had better have in memory before anything is asked for. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "residency/layer_expert.h"

namespace hypura {

// `hot`, the experts of a model that earlier runs used, most used first, in the order in which one of `workers` workers
// is to have them: first of each layer those that this machine has no room for, `here[layer]` of them, every so-manieth
// of these, so that the memories fill with different ones; then the others that it has none of; then what is here too.
std::vector<LayerExpert> warm_order(std::span<const LayerExpert> hot, std::span<const uint32_t> here, size_t worker,
                                    size_t workers);

}  // namespace hypura
