// What a pass of a dense model costs where workers compute some of its feed-forward parts.
//
// A part is computed by one machine, the others wait; what each has not in memory it reads meanwhile. Who computes what
// is decided once, as it is then done (placement/layer_share.h), for passes of one token.
#pragma once

#include <vector>

#include "placement/problem.h"
#include "placement/worker_cost.h"

namespace hypura {

// Whether workers of `problem` are asked for feed-forward parts in a pass of so many tokens: not for what is computed
// repacked, nor for more than they take.
bool asks_for_ffn(const PlacementProblem& problem, const Placement& placement, uint32_t tokens);

struct FfnCost {
  double bytes_here = 0;              // of dense weights, that this machine reads
  double saved = 0;                   // seconds of computing that it does not do
  double there = 0;                   // seconds of asking, and of what workers compute
  double reading = 0;                 // seconds of the worker that reads longest
  std::vector<MachineCost> machines;  // this one, then the workers: parts in the place of experts
};

// Of a placement and pass that asks_for_ffn().
FfnCost ffn_cost(const PlacementProblem& problem, const Placement& placement, uint32_t tokens);

// Seconds that this machine computes for one token besides the feed-forward parts that workers may compute, and for one
// of those, in their mean; 0 where there are none.
struct FfnSeconds {
  double other = 0;
  double part = 0;
};
FfnSeconds ffn_seconds(const PlacementProblem& problem);

}  // namespace hypura
