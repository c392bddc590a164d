// With --split auto: whether workers compute whole layers or parts of them.
#pragma once

#include <cstdint>

#include "hypura/result.h"
#include "load/workers.h"
#include "plan/placement_problem.h"

namespace hypura {

// Whole layers of the request's model become workers' where its options say so, or leave the choice and more is
// predicted of it: for tokens made and prompts read, as placements are chosen (placement/cost.h), by what
// look_for_workers() found. Returns those that have layers, connected; the request has to go before them. The request's
// context is not chosen yet; its split_remark says what was chosen and why. Fails as connect_layers().
Result<LayersWorkers> divide_model(OpenRequest& request, uint64_t fingerprint);

}  // namespace hypura
