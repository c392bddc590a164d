// What a plan says of GPUs that compute the last layers of a model, beside the processors.
#pragma once

#include <string>
#include <vector>

#include "hypura/plan.h"
#include "plan/placement_problem.h"

namespace hypura {

// The part of the plan that is about the GPUs. problem.split must be there.
DevicePlan split_device_plan(const OpenRequest& request, const PlacementProblem& problem, const Placement& placement);

// The lines of the ledger for their memory; none without problem.split.
std::vector<LedgerLine> split_ledger(const PlacementProblem& problem, const Placement& placement);

// The workers that are there for the last layers, with what each has of them.
std::vector<WorkerPlan> split_worker_plans(const OpenRequest& request, const PlacementProblem& problem);

// The beginning of the plan's sentence: "Name (5.3 GiB) on CUDA0 in 4.0 GiB of its memory and 8.0 GiB of RAM: 12 of 32
// layers and the output on CUDA0, "; of several "12 of 32 layers and the output there, layers 20 to 25 on CUDA0, 26 to
// 31 and the output on CUDA1; ".
std::string split_sentence(const OpenRequest& request, const PlacementProblem& problem, const Placement& placement);

// "CUDA0 computes 2.1 ms of a token, the processors 31.0 ms; 1.2 GiB of it are read from disk".
std::string split_token_sentence(const OpenRequest& request, const PlacementProblem& problem, const Plan& plan);

}  // namespace hypura
