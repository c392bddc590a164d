// Engine::open and Generator::open with choices in place of the plan's own: for tests and measurements.
#pragma once

#include <memory>

#include "hypura/generator.h"
#include "plan/plan_overrides.h"

namespace hypura {

Result<std::unique_ptr<Engine>> open_overridden(const EngineOptions& options, const PlanOverrides& overrides);
Result<std::unique_ptr<Generator>> open_overridden(const Generator::Options& options, const PlanOverrides& overrides);

}  // namespace hypura
