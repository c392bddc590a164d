#include "plan/request_cost.h"

#include <optional>
#include <utility>
#include <vector>

#include "placement/cost.h"
#include "placement/gpu_devices.h"
#include "placement/gpu_placement.h"
#include "placement/placement.h"
#include "plan/gpu_layers.h"
#include "plan/worker_plans.h"

namespace hypura {

namespace {

void add_margin(std::vector<KvChoice>& kv, std::vector<UbatchChoice>& ubatch, uint64_t percent) {
  for (KvChoice& it : kv) {
    it.bytes += it.bytes / 100 * percent;
  }
  for (UbatchChoice& it : ubatch) {
    it.bytes += it.bytes / 100 * percent;
    it.device_bytes += it.device_bytes / 100 * percent;
  }
}

// By the best plan for it.
struct Planned {
  PlacementProblem problem;
  Placement placement;
};

std::optional<Planned> planned(OpenRequest request, uint64_t margin) {
  auto problem = request.gpu.has_workers() ? planned_problem(request) : placement_problem(request);
  if (!problem) {
    return std::nullopt;
  }
  add_margin(problem->kv, problem->ubatch, margin);
  if (problem->gpu) {
    add_margin(problem->gpu->kv, problem->gpu->ubatch, margin);
    put_layers(*problem->gpu, layers_of_devices(*problem->gpu));
    if (problem->gpu->may_leave_layers && !place_on_gpu(*problem)) {
      divide_layers(*problem);
    }
  }
  auto placement = place(*problem);
  if (!placement) {
    return std::nullopt;
  }
  return Planned{std::move(*problem), std::move(*placement)};
}

// With the workers that were found and pay; without the memory for messages to the others.
std::optional<Planned> planned_with_workers(OpenRequest request, uint64_t margin) {
  leave_out_workers(request);
  auto plan = planned(request, margin);
  if (plan) {
    choose_workers(request, plan->problem, plan->placement);
  }
  return plan;
}

}  // namespace

RequestCost request_cost(const OpenRequest& request, const PlacementProblem& problem, const Placement& placement) {
  const CalibrationFactors& factors = request.history.calibration;
  const auto known = factors.find(calibration_key(request, placement) + workers_key(problem));
  return {pass_cost(problem, placement, 1).seconds,
          prompt_seconds(problem, placement, kComparedPrompt, false),
          objective(problem, placement),
          known != factors.end() ? std::optional(known->second) : std::nullopt,
          !problem.workers.empty(),
          problem.kv_choice(placement).bytes,
          placement.gpu ? problem.gpu->budget() : request.budget,
          problem.dense_disk.bytes_per_second};
}

RequestCost request_cost(const OpenRequest& request, uint64_t margin) {
  const auto plan = planned_with_workers(request, margin);
  return plan ? request_cost(request, plan->problem, plan->placement) : RequestCost();
}

}  // namespace hypura
