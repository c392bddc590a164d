// What is known of how a model's tokens choose among its experts, for the placement.
#pragma once

#include <cstddef>
#include <vector>

#include "backend/stream_layout.h"
#include "history/run_history.h"
#include "placement/problem.h"

namespace hypura {

// Fills in the popularity and the passing misses of `group`, number `number` of `groups`, which says of each streamed
// layer which group it is of: by the routing that earlier runs recorded, else by the prior. Any thread.
void add_routing(const RunHistory& history, const StreamLayout& layout, const std::vector<size_t>& groups,
                 size_t number, ExpertGroup& group);

}  // namespace hypura
