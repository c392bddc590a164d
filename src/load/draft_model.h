// The small model that drafts (DraftOptions::model), out of the same budget.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "draft/model_drafter.h"
#include "plan/placement_problem.h"

namespace hypura {

struct DraftModel {
  std::unique_ptr<ModelDrafter> drafter;  // null: none was asked for, or it is left out
  uint64_t bytes = 0;                     // of it
  std::string left_out;                   // why it is left out; empty when it is not
};

// Opens the draft model that the options name, and takes its bytes out of the budget of `request`, before that is
// divided; unless that costs more than drafts can give. Fails as open_model_drafter, and with kBudget when it takes the
// whole budget.
Result<DraftModel> open_draft_model(OpenRequest& request);

}  // namespace hypura
