// What a GPU adds to a placement problem, from the model, the options and what is known of the device.
#pragma once

#include <optional>
#include <string>

#include "plan/placement_problem.h"

namespace hypura {

// Passes beyond this size hide no more.
inline constexpr uint32_t kLargestGpuUbatch = 4096;

// For request.gpu; none without one. `problem` is that of the processors, as placement_problem() makes it.
std::optional<GpuProblem> gpu_problem(const OpenRequest& request, const PlacementProblem& problem);

// What was measured of request.gpu; nullptr: nothing.
const GpuProfile* gpu_profile(const OpenRequest& request);

// What of request.gpu's speeds is assumed, to end a prediction with; empty when it was measured.
std::string gpu_assumption(const OpenRequest& request);

// As correct_estimates(), of the GPU's choices.
void correct_gpu_estimates(GpuProblem& gpu, const Placement& placement, const ContextMemory& real);

}  // namespace hypura
