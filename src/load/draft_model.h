// The small model that drafts (DraftOptions::model), out of the same budget.
#pragma once

#include <memory>
#include <string>

#include "draft/model_drafter.h"
#include "plan/placement_problem.h"
#include "support/memory/budget.h"

namespace hypura {

struct DraftModel {
  std::unique_ptr<ModelDrafter> drafter;  // null: none was asked for, or it is left out
  Reservation reserved;                   // for it
  std::string left_out;                   // why it is left out; empty when it is not
};

// Opens the draft model that the options name, out of `budget`, and takes its bytes off the budget of `request` before
// that is divided; unless that costs more than drafts can give. Fails as open_model_drafter, and with kBudget when it
// takes the whole budget.
Result<DraftModel> open_draft_model(OpenRequest& request, Budget& budget);

}  // namespace hypura
