// Workers beside this machine: what they cannot do, and how they join an open model.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "backend/remote_layers.h"
#include "hypura/engine.h"
#include "load/open_model.h"
#include "plan/gpu_choice.h"
#include "plan/placement_problem.h"

namespace hypura {

// Fails with kUsage, with a sentence, where the options want of workers what they cannot do.
Status check_workers(const EngineOptions& options, const ChosenGpu& gpu, const Model& model);

// The worker that is to compute whole layers (WorkerSplit::kLayers), connected; nullptr where none is to, and where it
// is not there or does not compute for us, which the log then says. Fails with kUsage for addresses as check_workers.
Result<std::unique_ptr<RemoteLayers>> connect_layers(const EngineOptions& options, const PlanOverrides& overrides,
                                                     uint64_t fingerprint);

// Puts it in the place of a GPU; does nothing for nullptr.
void take_worker(RemoteLayers* worker, const Model& model, ChosenGpu& gpu);

// It refuses the layers of its model: from now on this process asks no worker at its address for layers of that.
void note_refusal(const RemoteLayers& worker);

// The workers of the request's options, if any, are asked from now on, but for those that do not pay; puts them into
// the request, and those that are asked into model.problem. `fingerprint`: of the model's file. Fails as
// StreamedWeights::ask_workers.
Status join_workers(OpenRequest& request, uint64_t fingerprint, OpenModel& model);

// For a plan alone: connects to the workers of the request's options, measures, and leaves them; then as above. Fails
// with kInternal when the system has no threads left.
Status look_for_workers(OpenRequest& request, uint64_t fingerprint, const Placement& placement,
                        PlacementProblem& problem);

}  // namespace hypura
