// Workers beside this machine: what they cannot do, and how they join an open model.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/remote_layers.h"
#include "hypura/engine.h"
#include "load/open_model.h"
#include "plan/gpu_choice.h"
#include "plan/placement_problem.h"

namespace hypura {

// Fails with kUsage, with a sentence, where the options want of workers what they cannot do.
Status check_workers(const EngineOptions& options, const ChosenGpu& gpu, const Model& model);

using LayersWorkers = std::vector<std::unique_ptr<RemoteLayers>>;

// The workers of the request's options that are to compute whole layers, of these `names` where there are some,
// connected; without those that are not there or do not compute for us, of which the log then says so. Fails with
// kUsage for addresses as check_workers().
Result<LayersWorkers> connect_layers(const OpenRequest& request, uint64_t fingerprint,
                                     const std::optional<std::vector<std::string>>& names = {});

// Puts them in the places of GPUs (WorkerSplit::kLayers); does nothing where there are none.
void take_workers(const LayersWorkers& workers, OpenRequest& request);

// Whether workers may compute whole layers of the model by these options.
bool may_have_layers(const EngineOptions& options, const Model& model);

// Why a worker that was found and helps computes no whole layers, a clause; empty: it would.
std::string no_layers_of(const FoundWorker& worker, const OpenRequest& request);

// The request as take_workers() would leave it with those that were found and would compute layers, for a plan alone:
// there is no connection.
OpenRequest with_found_layers(const OpenRequest& request, uint64_t fingerprint);

// It refuses the layers of its model: from now on this process asks no worker at its address for layers of that.
void note_refusal(const RemoteLayers& worker);

// Before the request's context is chosen: connects to the workers of its options as one that has parts computed,
// measures, and leaves them; puts what was found into the request. Nothing where, by estimates and with the plain
// context, they have nothing to compute.
// Fails with kInternal when the system has no threads left.
Status look_for_workers(OpenRequest& request, uint64_t fingerprint);

// The workers of the request's options, if any, are asked from now on, but for those that were left out, or are now
// that they are measured again; puts those that are asked into model.problem. `fingerprint`: of the model's file. Fails
// as StreamedWeights::ask_workers.
Status join_workers(OpenRequest& request, uint64_t fingerprint, OpenModel& model);

}  // namespace hypura
