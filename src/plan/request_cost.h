// What a way to open a model costs in time, by the best plan for it: for choices that are made before the plan is.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>

#include "placement/placement.h"
#include "plan/placement_problem.h"

namespace hypura {

// Of a prompt that such choices are compared by.
inline constexpr uint32_t kComparedPrompt = 512;

struct RequestCost {
  double token = std::numeric_limits<double>::infinity();      // seconds; infinite: it does not fit
  double prompt = std::numeric_limits<double>::infinity();     // of kComparedPrompt tokens
  double objective = std::numeric_limits<double>::infinity();  // of the placement (placement/cost.h)
  std::optional<double> measured;                              // times as long it was in earlier runs
  bool asks_workers = false;                                   // some pay
  uint64_t kv = 0;                                             // bytes,
  uint64_t budget = 0;                                         // of the memory that they are in
  double disk_bytes_per_second = 0;                            // in large reads

  bool fits() const { return token < std::numeric_limits<double>::infinity(); }
};

// For `request` as it is, with the workers that were found for it and pay, without a draft model. KV cache and buffers
// are taken for `margin` percent larger than by estimate. Some milliseconds.
RequestCost request_cost(const OpenRequest& request, uint64_t margin);

// By a plan that is made for it.
RequestCost request_cost(const OpenRequest& request, const PlacementProblem& problem, const Placement& placement);

}  // namespace hypura
