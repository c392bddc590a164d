// The routing of a model's latest tokens, kept between runs, so that a plan can tell what a cache of its experts will
// hit. It says which experts were chosen and no word of the text.
#pragma once

#include <cstdint>
#include <optional>

#include "hypura/routing.h"
#include "model/model.h"

namespace hypura {

// A trace with fewer decode tokens says too little to be kept. Chosen: three half-lives of the cache's memory.
inline constexpr uint64_t kFewestSavedTokens = 64;

// Tokens kept, prompts included: capacity for a prompt's pass of 512 and as many decode tokens. 24 layers of 8 experts
// used take 384 KiB.
inline constexpr uint64_t kMostSavedTokens = 1024;

// What was saved for this model; nothing when nothing was, or it cannot be read or does not fit the model. The trace's
// layers are those whose experts can be streamed, in order (StreamLayout::expert_layers). Reads the first MiB of the
// model's first file to know it by.
std::optional<RoutingTrace> saved_routing(const Model& model);

// Saves the latest passes of `trace`, after what was saved before when both are few: as far as they fit, the
// earlier run's are kept. Fails with kIo when the cache folder is not known or cannot be written.
Status save_routing(const Model& model, RoutingTrace trace);

}  // namespace hypura
