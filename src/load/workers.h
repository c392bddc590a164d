// Workers beside this machine: what they cannot do, and how they join an open model.
#pragma once

#include <cstdint>

#include "hypura/engine.h"
#include "load/open_model.h"
#include "plan/gpu_choice.h"
#include "plan/placement_problem.h"

namespace hypura {

// Fails with kUsage, with a sentence, where the options want of workers what they cannot do.
Status check_workers(const EngineOptions& options, const ChosenGpu& gpu, const Model& model);

// The workers of the request's options, if any, are asked from now on, but for those that do not pay; puts them into
// the request, and those that are asked into model.problem. `fingerprint`: of the model's file. Fails as
// StreamedWeights::ask_workers.
Status join_workers(OpenRequest& request, uint64_t fingerprint, OpenModel& model);

// For a plan alone: connects to the workers of the request's options, measures, and leaves them; then as above. Fails
// with kInternal when the system has no threads left.
Status look_for_workers(OpenRequest& request, uint64_t fingerprint, const Placement& placement,
                        PlacementProblem& problem);

}  // namespace hypura
