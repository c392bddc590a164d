// Where the bytes of a model go inside a memory budget. Pure policy over sizes and speeds: no files, no llama.cpp, no
// OS. The model of the time it takes is docs/design/placement.md.
//
// Which groups of weights are streamed, how much of the dense weights is pinned, how many experts are cached, the size
// of a prompt's passes and the type of the KV cache are chosen together, for the least time of a token made and a token
// read. The choices that are a matter of more or less come out of a linear program and are rounded to whole weights
// and slots; the others are tried.
#pragma once

#include <cstdint>

#include "hypura/placement.h"
#include "hypura/result.h"
#include "placement/cost.h"
#include "placement/problem.h"

namespace hypura {

// The best placement found: never one worse than place_greedily() finds, never over the budget. Fails with kBudget,
// naming the smallest budget, when none of problem.modes can work. With problem.gpu the better of what it and what the
// processors do; without them where it is required (placement/gpu_placement.h).
Result<Placement> place(const PlacementProblem& problem);

// The best placement by rule instead of by the linear program: all dense weights before any expert.
Result<Placement> place_greedily(const PlacementProblem& problem);

// The smallest budget under which `mode` works, or any of problem.modes.
uint64_t minimum_budget(const PlacementProblem& problem, Mode mode);
uint64_t minimum_budget(const PlacementProblem& problem);

}  // namespace hypura
