// The small model that drafts (DraftOptions::model), out of the same memory.
#pragma once

#include <memory>
#include <string>

#include "draft/model_drafter.h"
#include "plan/placement_problem.h"
#include "support/memory/budget.h"

namespace hypura {

struct DraftModel {
  Reservation reserved;  // for it, in RAM
  Reservation on_device;
  std::unique_ptr<ModelDrafter> drafter;  // null: none was asked for, or it is left out
  std::string device;                     // the GPU that it lies on; empty: RAM
  std::string not_there;                  // why it does not lie on a GPU, though there is one: a sentence
  std::string left_out;                   // why it is left out; empty when it is not
};

// Opens the draft model that the options name, out of `budget`, on a GPU or in RAM, wherever it gives more, and takes
// its bytes off the memory of `request` before that is divided; unless that costs more than drafts can give. It lies in
// RAM also where the GPU turns out to have no memory for it. Fails as open_model_drafter, and with kBudget when it
// takes the whole budget.
Result<DraftModel> open_draft_model(OpenRequest& request, Budget& budget);

}  // namespace hypura
