// What of a model's dense weights workers may compute.
#pragma once

#include "backend/stream_layout.h"
#include "placement/problem.h"

namespace hypura {

// Where there are workers and the model has no experts: numbers the feed-forward parts that they may compute
// (DenseWeight::part), and adds what messages take. The problem's dense weights are the layout's.
void add_worker_parts(const StreamLayout& layout, PlacementProblem& problem);

}  // namespace hypura
