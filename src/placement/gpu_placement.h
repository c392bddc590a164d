// Where the bytes of a model go when a GPU computes it: inside a budget of its memory and one of RAM.
//
// Everything lies on the device where that fits. Else, of a model with experts, all else lies there, and slots take
// what is left. Each further slot of a layer saves less than the one before, and the last saves the cut of the layer
// besides: so slots go where they save most for a byte, along the lower convex hull of each layer's cost. That is the
// optimum of the division, up to the slots that the last layer no longer gets. KV cache, passes and staging are tried.
#pragma once

#include <cstdint>

#include "hypura/placement.h"
#include "hypura/result.h"
#include "placement/problem.h"

namespace hypura {

// The best placement on problem.gpu, which must be there. Fails with kBudget, saying of which memory there is too
// little, and with the smallest of it that would do.
Result<Placement> place_on_gpu(const PlacementProblem& problem);

// The smallest budget of the device's memory under which it can compute the model, with enough RAM.
uint64_t minimum_vram(const PlacementProblem& problem);

// The smallest of RAM, with its budget of the device's memory; with what the device takes of it where that is RAM.
uint64_t minimum_gpu_ram(const PlacementProblem& problem);

}  // namespace hypura
