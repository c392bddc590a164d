// How many of a dense model's last layers GPUs compute whose memory has no room for all, and what a placement problem
// then says of them (docs/design/gpu.md, "Dense models").
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "plan/placement_problem.h"

namespace hypura {

// Of the smallest that may be computed by a GPU that has not their weights: llama.cpp copies them to it for passes of
// so many tokens.
inline constexpr uint32_t kOffloadTokens = 32;

// Whether passes of so many tokens are computed by request.gpu in all layers, where it has some: not with experts,
// which are the processors' wherever they are streamed, and not over ggml's CPU device, which takes nothing over.
bool takes_prompts(const OpenRequest& request);

// Tokens of the largest pass that is considered where the processors compute, with or without request.gpu_layers():
// large ones hide what they copy to a GPU that takes them.
uint32_t largest_pass(const OpenRequest& request);

// Puts in what request.gpu has by request.gpu_layers(), which must be there: PlacementProblem::split, and what of KV
// cache and compute buffers lies there. `problem` has all else of it.
void add_gpu_layers(const OpenRequest& request, PlacementProblem& problem);

// Puts in how the GPUs that have layers share what llama.cpp really allocated there, where they have memory of their
// own.
void correct_gpu_layers(GpuSplitPart& split, const ContextMemory& real);

// The problem whose solution is the plan. As placement_problem(), with the layers that several GPUs share divided as is
// best (placement/gpu_devices.h), unless request.gpu has no room for all of a dense model: then that of the layers
// there, by GPU at most `most`, with the least objective; request.planned_layers is that division. A GPU that was named
// gets one layer at least where one fits, several each one if they can; without any layer the problem is the
// processors', and GpuProblem::undivided says why. With `most`, the whole model on GPUs is not considered. Fails as
// placement_problem().
Result<PlacementProblem> planned_problem(OpenRequest& request, const std::optional<std::vector<uint32_t>>& most = {});

// Whether the plan divides the layers of the request's model where they do not fit.
bool may_divide(const OpenRequest& request, const PlacementProblem& problem);

}  // namespace hypura
