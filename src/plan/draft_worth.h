// Whether a draft model can give back what its memory costs, and where it lies: in RAM, or in a GPU's memory. The rule
// that chooses the length of drafts (draft_length.h) can stop drafting, but not give the memory back: so this is asked
// before the model is opened.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "draft/model_drafter.h"
#include "plan/placement_problem.h"

namespace hypura {

// Tokens a second, by the plan's sums.
struct DraftWorth {
  double without = 0;  // with all of the budget for the model
  double with = 0;     // with drafts of which nine of ten are accepted, more than most pairs reach over a whole text

  bool pays() const { return with >= without; }
};

// `whole` has all memory, `left` what a draft model leaves, which drafts a token in `draft_seconds`. None when the
// model does not fit into one of them. Any thread.
std::optional<DraftWorth> draft_worth(const PlacementProblem& whole, const PlacementProblem& left,
                                      double draft_seconds);

// Where a draft model lies, and what it takes.
struct DraftPlace {
  std::optional<size_t> device = {};  // of OpenRequest::gpu; none: RAM
  DraftBytes bytes = {};
};

// Of the draft model in `file`. None where its headers cannot be read, too.
std::optional<DraftWorth> draft_worth(const OpenRequest& request, const std::filesystem::path& file,
                                      const DraftPlace& place);

// `request` with what `place` leaves of its memory.
OpenRequest beside_draft(OpenRequest request, const DraftPlace& place);

// The GPU of request.gpu that a draft model may lie on: the one with the most memory of its own; none where none has
// such.
std::optional<size_t> device_for_draft(const OpenRequest& request);

// What a draft model is estimated to take there, for as many tokens as the model's context has.
DraftPlace estimated_draft_place(const OpenRequest& request, const Model& draft, std::optional<size_t> device);

// Where it gives more; `why`, where there is a GPU and that is RAM: a clause.
struct ChosenDraftPlace {
  DraftPlace place = {};
  std::string why = {};
};
ChosenDraftPlace choose_draft_place(const OpenRequest& request, const std::filesystem::path& file);

// What the user is told about a draft model that does not pay.
std::string left_out_sentence(const std::filesystem::path& file, const DraftBytes& bytes, const DraftWorth& worth);

}  // namespace hypura
