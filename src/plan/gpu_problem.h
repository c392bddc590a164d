// What GPUs add to a placement problem, from the model, the options and what is known of the devices.
#pragma once

#include <optional>
#include <string>

#include "plan/placement_problem.h"

namespace hypura {

// Passes beyond this size hide no more.
inline constexpr uint32_t kLargestGpuUbatch = 4096;

// For request.gpu, with the layers divided by memory; none without one. `problem` is that of the processors, as
// placement_problem() makes it.
std::optional<GpuProblem> gpu_problem(const OpenRequest& request, PlacementProblem problem);

// What was measured of that device; nullptr: nothing.
const GpuProfile* gpu_profile(const OpenRequest& request, const std::string& device);

// What of request.gpu's speeds is assumed, of the first device of which any is, to end a prediction with; empty when
// all were measured.
std::string gpu_assumption(const OpenRequest& request);

// As correct_estimates(), of the GPU's choices. real.devices are those that have layers.
void correct_gpu_estimates(GpuProblem& gpu, const Placement& placement, const ContextMemory& real);

// Leaves the choices of the placement only.
void keep_gpu_choices(GpuProblem& gpu, const Placement& placement);

}  // namespace hypura
