// Whether a draft model can give back what its memory costs. The rule that chooses the length of drafts
// (draft_length.h) can stop drafting, but not give the memory back: so this is asked before the model is opened.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "plan/placement_problem.h"

namespace hypura {

// Tokens a second, by the plan's sums.
struct DraftWorth {
  double without = 0;  // with all of the budget for the model
  double with = 0;     // with drafts of which nine of ten are accepted, more than most pairs reach over a whole text

  bool pays() const { return with >= without; }
};

// What a draft model takes.
struct DraftCost {
  uint64_t bytes = 0;  // of the budget
  double seconds = 0;  // to draft a token
};

// `problem` has the whole budget. None when the model does not fit into what is left, or not at all. Any thread.
std::optional<DraftWorth> draft_worth(PlacementProblem problem, const DraftCost& cost);

// Of the draft model in `file`, which takes `bytes`. None where its headers cannot be read, too.
std::optional<DraftWorth> draft_worth(const OpenRequest& request, const std::filesystem::path& file, uint64_t bytes);

// What the user is told about a draft model that does not pay.
std::string left_out_sentence(const std::filesystem::path& file, uint64_t bytes, const DraftWorth& worth);

}  // namespace hypura
