// What a layer of experts costs where workers compute some of them: the model of docs/design/workers.md.
//
// All machines work at once, and a layer is done when the last of them is. A machine takes its reading and computing,
// as this one does alone (placement/cost.h); a worker the round trip, what asking takes, and the bytes besides.
//
//   layer = max over machines ( misses · bytes / disk + experts · computing
//                               + of a worker: round trip + asking + bytes sent and received / bandwidth )
//
// Who is given what is decided for each token anew, by who has it and who is least busy (residency/machine_share.h), so
// that a mean says too little: the larger of two shares is more than the larger of their means. So some tokens are
// drawn, always the same, and divided in that way.
//
// A prompt wants nearly all experts of a layer, and each goes to whoever is then done first, whether it has it or reads
// it; nothing is drawn for that. Its machines read ahead as this one does alone.
//
// Held against measurements with disks that give the same at each moment, and profiles that nothing disturbed
// (docs/results.md, "Workers"): what is off is what the popularity is off, not this.
//
// The memories fill with different experts: together they hold as many of the most used ones as they are large, and
// each of them as many of those as it is large.
#pragma once

#include <vector>

#include "placement/cost.h"
#include "placement/problem.h"

namespace hypura {

// What asking takes on both machines beside the way and the work, once for each layer and worker. Measured: 0.05 to
// 0.1 ms on two cores.
inline constexpr double kAskingSeconds = 1e-4;

// Whether workers of `problem` are asked in a pass of so many tokens.
bool asks_workers(const PlacementProblem& problem, const Placement& placement, uint32_t tokens);

// What one machine does in a pass, or a layer of it.
struct MachineCost {
  double experts = 0;  // that it computes
  double misses = 0;   // of these, read from its disk
};

struct WorkersLayer {
  PassCost cost;                      // its bytes and misses: `bytes` read here, `misses` read anywhere
  std::vector<MachineCost> machines;  // this one, then the workers
};

// One layer of `group` in a pass of `tokens` tokens, of whose experts this machine has `cached` in memory.
WorkersLayer workers_layer_cost(const PlacementProblem& problem, const Placement& placement, const ExpertGroup& group,
                                uint32_t cached, uint32_t tokens);

// All layers together: what each machine does in such a pass. Of a placement and pass that asks_workers().
std::vector<MachineCost> machine_costs(const PlacementProblem& problem, const Placement& placement, uint32_t tokens);

}  // namespace hypura
