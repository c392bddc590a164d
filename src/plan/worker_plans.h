// Which workers a plan has, what it says of them, and why it leaves one out.
#pragma once

#include <string>
#include <vector>

#include "hypura/plan.h"
#include "plan/placement_problem.h"

namespace hypura {

// Tokens/s of which one takes so long, for people: "8.12", "305.2".
std::string speed_of(double seconds);

// Whether there is anything that workers could compute: experts or feed-forward parts that are streamed.
bool computes_with_workers(const PlacementProblem& problem, const Placement& placement);

// Decides which of request.workers are asked, by `placement` of `problem`, and puts these into the problem. Who was
// left out before stays so: there is no memory for messages to it. Where there is nothing that they could compute there
// is nothing to decide, and none is.
void choose_workers(OpenRequest& request, PlacementProblem& problem, const Placement& placement);

// The same by a plan of estimates, before the one that counts is made: so that the memory for messages to those that do
// not pay is in it. Those that pay must do so together with that memory gone: else all are left out. Does nothing where
// none was found, or nothing fits by estimates.
void leave_out_workers(OpenRequest& request);

// What the plan says of request.workers, which were chosen, with its figures made longer by `calibration`.
std::vector<WorkerPlan> worker_plans(const OpenRequest& request, const PlacementProblem& problem,
                                     const Placement& placement, double calibration);

// "; box:52525 is not asked: ..." of each that is there and left out.
std::string left_out_sentence(const std::vector<WorkerPlan>& workers);

// Of those that are asked.
std::vector<std::string> worker_names(const PlacementProblem& problem);

// ", workers box:1 and box:2", behind a calibration key; empty without workers.
std::string workers_key(const PlacementProblem& problem);

}  // namespace hypura
