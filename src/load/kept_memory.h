// What keeping keys and values beyond the context takes of a model's memory, and how it is opened (docs/design/kv.md).
#pragma once

#include <memory>
#include <string>

#include "llama/kept_kv.h"
#include "plan/placement_problem.h"
#include "support/memory/budget.h"

namespace hypura {

struct OpenModel;

struct KeptMemory {
  uint64_t most = 0;     // bytes of entries in RAM; 0: nothing is kept
  Reservation reserved;  // for these, and those that are being read and written
  std::string sentence;  // what is kept, for the plan
  std::string left_out;  // why nothing is kept; empty where it is, or was not asked for
};

// Takes what pays (choose_kept()) off the budget of `request` before that is divided, where the options ask for it.
KeptMemory reserve_kept_memory(OpenRequest& request, Budget& budget);

// The keeper of an open model, whose context has a spare sequence behind its others. A folder on disk that cannot be
// used costs a warning of the plan, which says what is kept. `states` is what the keeper is made for.
std::unique_ptr<KeptKv> open_kept_kv(const EngineOptions& options, OpenModel& model, KvStates& states);

}  // namespace hypura
