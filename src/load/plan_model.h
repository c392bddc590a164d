// plan_model, for what needs more than the public interface.
#pragma once

#include "hypura/plan.h"
#include "plan/plan_overrides.h"

namespace hypura {

// As in hypura/plan.h, with `overrides` in place of the plan's own choices.
Result<Plan> plan_model(const Model& model, const EngineOptions& options, const MachineProfile* profile,
                        const PlanOverrides& overrides);

}  // namespace hypura
