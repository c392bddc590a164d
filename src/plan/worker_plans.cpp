#include "plan/worker_plans.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "placement/cost.h"
#include "placement/ffn_cost.h"
#include "placement/worker_cost.h"
#include "plan/gpu_choice.h"
#include "plan/gpu_layers.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

std::string rate_of(double bytes_per_second) {
  return fmt::format("{}/s", format_bytes(static_cast<uint64_t>(bytes_per_second)));
}

// "with it 3.1 tokens/s are expected, and 3.3 without: a round trip there takes 12.00 ms, for each layer"
std::string why_not(const PlannedWorker& worker, bool dense, double calibration) {
  const WorkerChoice& choice = *worker.choice;
  const WorkerWay& way = worker.found.way;
  const std::string speeds =
      fmt::format("with it {} tokens/s are expected, and {} without: ", speed_of(choice.with * calibration),
                  speed_of(choice.without * calibration));
  switch (choice.hindrance) {
    case WorkerHindrance::kRoundTrip:
      return speeds + fmt::format("a round trip there takes {:.2f} ms, for each layer", way.round_trip * 1e3);
    case WorkerHindrance::kBandwidth:
      return speeds + fmt::format("the way there carries {}, and {} back", rate_of(way.send_bytes_per_second),
                                  rate_of(way.receive_bytes_per_second));
    case WorkerHindrance::kNothing:
      return speeds + "nothing is read from disk that it could save";
    case WorkerHindrance::kMessages:
      if (std::isinf(choice.with)) {
        return "the model would not fit beside the memory for messages to it";
      }
      return speeds + "messages to it take memory that is worth more here";
    default:
      if (dense) {
        return speeds +
               fmt::format(
                   "it reads {}, computes a feed-forward part in {:.1f} times what it takes here, and holds {} "
                   "of them",
                   rate_of(worker.part.disk_bytes_per_second), worker.part.slower, format_bytes(worker.part.room));
      }
      return speeds + fmt::format(
                          "it reads {} and computes an expert in {:.1f} times what it takes here, of which it "
                          "holds {:.0f} of each layer",
                          rate_of(worker.part.disk_bytes_per_second), worker.part.slower, worker.part.layer_experts);
  }
}

// What was found of it.
WorkerPlan found_plan(const PlannedWorker& worker, bool dense, double calibration) {
  WorkerPlan plan;
  plan.name = worker.found.name;
  plan.reason = worker.found.why;
  if (!worker.found.verdict) {
    return plan;
  }
  const WorkerVerdict& its = *worker.found.verdict;
  plan.there = true;
  plan.slots = its.slots;
  plan.threads = its.threads;
  plan.budget = its.budget;
  plan.measured = its.disk_bytes_per_second > 0 && its.expert_seconds > 0;
  plan.disk_bytes_per_second = worker.part.disk_bytes_per_second;
  plan.slower = worker.part.slower;
  plan.round_trip_seconds = worker.found.way.round_trip;
  plan.slow_round_trip_seconds = worker.found.way.slow_round_trip;
  plan.send_bytes_per_second = worker.found.way.send_bytes_per_second;
  plan.receive_bytes_per_second = worker.found.way.receive_bytes_per_second;
  if (worker.choice) {
    plan.asked = worker.choice->asked;
    plan.with_tokens_per_second = 1 / (worker.choice->with * calibration);
    plan.without_tokens_per_second = 1 / (worker.choice->without * calibration);
    plan.reason = plan.asked ? "" : why_not(worker, dense, calibration);
  }
  return plan;
}

// Whatever they gain.
bool asks_all(const OpenRequest& request) {
  return request.options.split == WorkerSplit::kExperts || request.overrides.alike_workers;
}

// So that tests do not depend on how long anything took.
void take_as_alike(WorkerPart& part) {
  part.slower = 1;
  part.way.round_trip = 0;
  part.way.send_bytes_per_second = std::numeric_limits<double>::infinity();
  part.way.receive_bytes_per_second = std::numeric_limits<double>::infinity();
}

}  // namespace

std::string speed_of(double seconds) {
  return fmt::format("{:.{}f}", 1 / seconds, seconds > 0.1 ? 2 : 1);
}

bool computes_with_workers(const PlacementProblem& problem, const Placement& placement) {
  const bool parts = std::ranges::any_of(problem.dense, [](const DenseWeight& it) { return it.part >= 0; });
  return !placement.gpu && (placement.experts.streamed || (placement.dense.streamed && parts));
}

void choose_workers(OpenRequest& request, PlacementProblem& problem, const Placement& placement) {
  problem.workers.clear();
  const bool compute = computes_with_workers(problem, placement);
  std::vector<PlannedWorker*> left_out;
  std::vector<PlannedWorker*> in_question;
  for (PlannedWorker& it : request.workers) {
    if (it.left_out()) {
      left_out.push_back(&it);
    } else if (it.found.verdict && compute) {
      in_question.push_back(&it);
    }
  }
  if (!compute && left_out.empty()) {
    request.workers.clear();  // by an earlier plan they had something to compute
    return;
  }
  std::vector<WorkerPart> parts;
  for (PlannedWorker* it : in_question) {
    const bool dense = problem.experts.empty();
    it->part = worker_part(it->found, request.layout(!dense, dense, request.reads_repacked()), problem);
    if (request.overrides.alike_workers) {
      take_as_alike(it->part);
    }
    parts.push_back(it->part);
  }
  const std::vector<WorkerChoice> choices = choose_workers(problem, placement, parts, asks_all(request));
  for (size_t i = 0; i < in_question.size(); ++i) {
    in_question[i]->choice = choices[i];
    if (choices[i].asked) {
      problem.workers.push_back(parts[i]);
    }
  }
  for (PlannedWorker* it : left_out) {  // with the memory that messages to it do not take
    it->choice->without = pass_cost(problem, placement, 1).seconds;
  }
}

namespace {

// Of a token by the plan for the request, with those of its workers that pay; infinite where nothing fits.
double planned_seconds(OpenRequest& request) {
  auto problem = planned_problem(request);
  const auto placement = problem ? place(*problem) : Result<Placement>(propagate(problem.error()));
  if (!placement) {
    return std::numeric_limits<double>::infinity();
  }
  choose_workers(request, *problem, *placement);
  return pass_cost(*problem, *placement, 1).seconds;
}

void leave_out_asked(OpenRequest& request) {
  for (PlannedWorker& it : request.workers) {
    if (it.choice && it.choice->asked) {
      it.choice->asked = false;
      it.choice->hindrance = WorkerHindrance::kMessages;
    }
  }
}

// Also those that are not there: memory is taken for messages to them too.
void leave_out_all(OpenRequest& request) {
  constexpr double kNever = std::numeric_limits<double>::infinity();
  for (PlannedWorker& it : request.workers) {
    it.choice = WorkerChoice{false, kNever, kNever, WorkerHindrance::kMessages};
  }
}

}  // namespace

void leave_out_workers(OpenRequest& request) {
  if (request.workers.empty()) {
    return;
  }
  const double with = planned_seconds(request);
  const bool fits = !std::isinf(with);
  const bool any = std::ranges::any_of(request.workers, [](const auto& it) { return it.choice && it.choice->asked; });
  if (asks_all(request) || (fits && !any)) {
    return;
  }
  OpenRequest alone = request;
  const auto leave_out = fits ? leave_out_asked : leave_out_all;
  leave_out(alone);
  if (planned_seconds(alone) < kLeastWorkerGain * with) {
    leave_out(request);
  }
}

std::vector<WorkerPlan> worker_plans(const OpenRequest& request, const PlacementProblem& problem,
                                     const Placement& placement, double calibration) {
  std::vector<WorkerPlan> plans;
  std::vector<MachineCost> costs;
  if (asks_workers(problem, placement, 1)) {
    costs = machine_costs(problem, placement, 1);
  } else if (asks_for_ffn(problem, placement, 1)) {
    costs = ffn_cost(problem, placement, 1).machines;
  }
  double all = 0;
  for (const MachineCost& it : costs) {
    all += it.experts;
  }
  size_t next = 1;
  for (const PlannedWorker& it : request.workers) {
    WorkerPlan& plan = plans.emplace_back(found_plan(it, problem.experts.empty(), calibration));
    if (plan.asked && !costs.empty()) {
      const MachineCost& cost = costs[next++];
      plan.share = all > 0 ? cost.experts / all : 0;
      plan.hit_rate = cost.experts > 0 ? 1 - cost.misses / cost.experts : 0;
    }
  }
  return plans;
}

std::string left_out_sentence(const std::vector<WorkerPlan>& workers) {
  std::string text;
  for (const WorkerPlan& it : workers) {
    if (it.there && !it.asked) {
      text += fmt::format("; {} is not asked: {}", it.name, it.reason);
    }
  }
  return text;
}

std::vector<std::string> worker_names(const PlacementProblem& problem) {
  std::vector<std::string> names;
  for (const WorkerPart& it : problem.workers) {
    names.push_back(it.name);
  }
  return names;
}

std::string workers_key(const PlacementProblem& problem) {
  return problem.workers.empty() ? "" : kWorkersInKey + joined_names(worker_names(problem));
}

}  // namespace hypura
