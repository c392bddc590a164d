// What a placement means, for people and for plans: the ledger, the prediction, sentences.
#pragma once

#include <string>
#include <vector>

#include "draft/model_drafter.h"
#include "hypura/plan.h"
#include "placement/placement.h"
#include "plan/placement_problem.h"

namespace hypura {

// The plan for `request`: `placement`, which was chosen from `problem`, in numbers and sentences.
Plan make_plan(const OpenRequest& request, const PlacementProblem& problem, Placement placement);

// What opening a model adds to its plan.
struct OpenFacts {
  std::string reader;         // how streamed weights are read; empty: none are
  DraftBytes draft;           // of a draft model
  std::string draft_device;   // the GPU that it lies on; empty: RAM
  std::string draft_remark;   // why there is none, or not on a GPU; empty where there is nothing to say
  uint64_t mtp_bytes = 0;     // that drafting by MTP layers takes besides their weights; 0: they do not draft
  uint64_t kept_bytes = 0;    // for keys and values beyond the context
  std::string kept_left_out;  // why none are kept; empty when that was not asked for, or they are
};
void add_opened(const OpenRequest& request, const OpenFacts& facts, Plan& plan);

// What each byte is for; the sum is at most the budget.
std::vector<LedgerLine> make_ledger(const PlacementProblem& problem, const Placement& placement);
std::string ledger_text(const std::vector<LedgerLine>& ledger);

Prediction predict(const OpenRequest& request, const PlacementProblem& problem, const Placement& placement);

// The error when nothing fits: the smallest budget, and what it is for.
tl::unexpected<Error> too_small(const OpenRequest& request, const PlacementProblem& problem);

}  // namespace hypura
