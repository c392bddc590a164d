// Where the bytes of a model go when GPUs compute it: inside a budget of the memory of each and one of RAM. Which has
// which layers is given (gpu_devices.h).
//
// Everything lies on the devices where that fits. Else, of a model with experts, all else lies there, and slots take
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

// The smallest budget of a device's memory under which it can compute its layers, with enough RAM; and of all devices.
uint64_t minimum_vram(const PlacementProblem& problem, const GpuPart& device);
uint64_t minimum_vram(const PlacementProblem& problem);

// The first device whose budget is less than that; nullptr: there is none.
const GpuPart* too_small_device(const PlacementProblem& problem);

// The smallest of RAM, with the devices' budgets of their memory; with what a device takes of it that computes in it.
uint64_t minimum_gpu_ram(const PlacementProblem& problem);

}  // namespace hypura
