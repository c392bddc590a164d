// What a placement means, for people and for plans: the ledger, the prediction, sentences.
#pragma once

#include <string>
#include <vector>

#include "hypura/plan.h"
#include "placement/placement.h"
#include "plan/placement_problem.h"

namespace hypura {

// A placement that was chosen for `request`, with what it was chosen from.
struct Chosen {
  PlacementProblem problem;
  Solution solution;

  const Placement& placement() const { return solution.placement; }
  const KvChoice& kv() const { return problem.kv[placement().kv]; }
  const UbatchChoice& ubatch() const { return problem.ubatch[placement().ubatch]; }
};

// What each byte is for; the sum is at most the budget.
std::vector<LedgerLine> make_ledger(const Chosen& chosen);
std::string ledger_text(const std::vector<LedgerLine>& ledger);

Prediction predict(const OpenRequest& request, const Chosen& chosen);

// "Name (5.3 GiB) in 1.9 GiB: ...": what is done.
std::string plan_sentence(const OpenRequest& request, const Chosen& chosen);

// What to expect of it, and what limits it.
std::string why_sentence(const OpenRequest& request, const Chosen& chosen, const Prediction& prediction);

// What the user should know: a context that was asked for and lowered, more threads than processors, parts that are
// left out, a repacked copy that is not used, a cache that is too small, weights that cannot be streamed.
std::vector<std::string> plan_warnings(const OpenRequest& request, const Chosen& chosen);

// What opening a model adds to its plan.
struct OpenFacts {
  std::string reader;          // how streamed weights are read; empty: none are
  uint32_t ubatch = 0;         // tokens in the largest pass
  uint64_t draft_bytes = 0;    // of a draft model
  std::string draft_left_out;  // why there is none; empty when it was not asked for, or is there
  uint64_t mtp_bytes = 0;      // that drafting by MTP layers takes besides their weights; 0: they do not draft
};

// What was decided for an open model, in numbers and sentences.
PlanSummary summarise(const OpenRequest& request, const Chosen& chosen, const OpenFacts& facts);

// The error when nothing fits: the smallest budget, and what it is for.
tl::unexpected<Error> too_small(const OpenRequest& request, const PlacementProblem& problem);

}  // namespace hypura
