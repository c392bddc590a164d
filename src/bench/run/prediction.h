// What the plan expects of a run, to hold the measurement against.
#pragma once

#include <filesystem>

#include "bench/run/run_spec.h"
#include "hypura/plan.h"
#include "hypura/result.h"

namespace hypura {

// Makes sure that the speeds of this machine and of the disk under `model` are known: a prediction from defaults would
// say nothing. Takes seconds the first time; the result is cached (see hypura/profile.h).
Status prepare_predictions(const std::filesystem::path& model);

// The plan of the run that `spec` describes. Fails as plan_model().
Result<Plan> plan_of(const RunSpec& spec);

// The prediction for the run that `spec` describes, made where the run is made (the limits of its cgroup count) and
// before it, so that nothing of the run is known. Reads headers only. What stood in its way is in `remark`.
PredictedRun predict(const RunSpec& spec);

}  // namespace hypura
