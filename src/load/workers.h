// Workers beside this machine: what they cannot do, and how they join an open model.
#pragma once

#include <cstdint>

#include "hypura/engine.h"
#include "load/open_model.h"
#include "plan/gpu_choice.h"
#include "plan/plan_overrides.h"

namespace hypura {

// Fails with kUsage, with a sentence, where the options want of workers what they cannot do.
Status check_workers(const EngineOptions& options, const ChosenGpu& gpu, const Model& model);

// The workers of the options, if any, are asked from now on. `fingerprint`: of the model's file. Fails as
// StreamedWeights::ask_workers.
Status join_workers(const EngineOptions& options, const PlanOverrides& overrides, uint64_t fingerprint,
                    OpenModel& model);

}  // namespace hypura
