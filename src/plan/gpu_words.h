// What a placement on a GPU means, for people and for plans.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "hypura/plan.h"
#include "placement/cost.h"
#include "plan/placement_problem.h"

namespace hypura {

// The part of the plan that is about request.gpu, which computes by `placement`.
DevicePlan device_plan(const OpenRequest& request, const PlacementProblem& problem, const Placement& placement);

// "layers 0 to 11 on CUDA0, 12 to 23 and the output on CUDA1; "; empty with one.
std::string shares_words(const std::vector<DeviceShare>& shares);

// Of their memory, all together.
uint64_t budget_of(const std::vector<DeviceShare>& shares);

// As make_ledger(), of a placement with a GPU.
std::vector<LedgerLine> gpu_ledger(const PlacementProblem& problem, const Placement& placement);

// "Name (5.3 GiB) on CUDA0 in 4.0 GiB of its memory and 16.0 GiB of RAM: ..."
std::string gpu_plan_sentence(const OpenRequest& request, const PlacementProblem& problem, const Placement& placement);

// What a token finds where, and what takes most of its time: "a token finds 53 % of its experts on the GPU, ...".
std::string gpu_token_sentence(const Plan& plan);

// Fails with kUsage where EngineOptions::mixed_compute would have no effect because no GPU computes with slots.
Status check_mixed(const OpenRequest& request, const PlacementProblem& problem, const Placement& placement);

// What a token takes when the processors compute what misses a GPU's slots, where it does not by `placement`, and the
// other way round; none where the GPU has not slots for some of the experts.
std::optional<PassCost> mixed_other_way(const PlacementProblem& problem, const Placement& placement);

// What is to be said of mixed computing that was asked for: that it is slower, or changes nothing; else empty.
std::string mixed_warning(const PlacementProblem& problem, const Placement& placement);

// "; CUDA0 computes nothing: ..." where the processors compute though there is a GPU, or one was passed over; else
// empty.
std::string why_no_gpu(const OpenRequest& request, const PlacementProblem& problem, const Placement& placement);

// The error where the GPU has to compute and cannot: the smallest of the memory that there is too little of.
tl::unexpected<Error> gpu_too_small(const OpenRequest& request, const PlacementProblem& problem);

}  // namespace hypura
