// What opening a model resident and streamed has in common.
#pragma once

#include <vector>

#include "llama/open/make_llama.h"
#include "load/open_model.h"

struct ggml_backend_device;

namespace hypura {

// Opens the model's files, and these mirrors of them, for reading. `repacked`: the files of its repacked copy, if it
// has one, and behind them its own. Fails as Reader::open.
Result<std::unique_ptr<Reader>> open_reader(const OpenRequest& request, const std::vector<Mirror>& mirrors,
                                            bool repacked);

// Gives request.gpu_layers() to the GPUs, or to workers; does nothing where there are none.
void give_layers(const OpenRequest& request, ModelParams& params, OpenModel& parts);

// What workers have of the model, if they have layers, is not to be read.
void leave_out_layers(const OpenRequest& request, VirtualHeader& header);

// Tells workers that have layers which these are.
Status name_layers(const OpenRequest& request);

// Reserves what parts.plan.placement says for the weights that stay, and what the process and the vocabulary take.
Status reserve_weights(std::shared_ptr<Budget> budget, OpenModel& parts);

// The devices that compute by parts.plan.placement, in the order of their layers; none: the processors.
std::vector<ggml_backend_device*> devices_of(const OpenRequest& request, const OpenModel& parts);

// How many layers each of those has, the output being one.
std::vector<uint32_t> layers_of_devices(const Placement& placement);

// Corrects that to what llama.cpp's buffers really take: it aligns tensors, and direct reads want padding around them.
// What that is more in RAM comes out of the process overhead. Call with a context.
void correct_weights(const OpenRequest& request, OpenModel& parts);

// Makes parts.context, and parts.mtp when its layers are to draft, of request.cells() tokens, with the passes
// (parts.ubatch tells) and the KV cache of `placement`, and its thread pool, for parts.llama.
Status make_context(const OpenRequest& request, OpenModel& parts, const Placement& placement);

// Makes the context that parts.plan.placement wants, out of the budget, puts the sizes it really has into
// parts.problem, and places again, as often as the choice of pass or KV cache changes by that (a few times at most).
// Of parts.problem what the model is not open as must be taken out (only_as() in plan/placement_problem.h). Fails with
// kBudget when it does not fit after all.
Status replan(const OpenRequest& request, OpenModel& parts);

// What the context that was made takes, and that of the MTP layers, what grows later included.
ContextMemory context_needs(const OpenRequest& request, const OpenModel& parts);

}  // namespace hypura
