#include "load/plan_model.h"

#include <algorithm>

#include "backend/stream_layout.h"
#include "hypura/repack.h"
#include "llama/llama_runtime.h"
#include "llama/mtp_layers.h"
#include "llama/trial_load.h"
#include "load/open_engine.h"
#include "machine/memory.h"
#include "plan/budget.h"
#include "plan/explain.h"
#include "plan/placed_tensors.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr uint64_t kMoreMemory = 1ULL << 30;
constexpr double kMoreDisk = 1e9;

double tokens_per_second(const PlacementProblem& problem) {
  const auto solution = place(problem);
  return solution ? 1 / pass_cost(problem, solution->placement, 1).seconds : 0;
}

double with_more_memory(PlacementProblem problem) {
  problem.budget += kMoreMemory;
  return tokens_per_second(problem);
}

double with_more_disk(PlacementProblem problem) {
  problem.expert_disk.bytes_per_second += kMoreDisk;
  problem.dense_disk.bytes_per_second += kMoreDisk;
  return tokens_per_second(problem);
}

double with_packed_copy(OpenRequest request) {
  const bool may = may_read_packed(request.options) && !request.reads_packed();
  if (!may || std::none_of(request.model.tensors.begin(), request.model.tensors.end(), is_packed)) {
    return 0;
  }
  request.packed.files = {repacked_name(request.model.files.front().path)};
  const auto problem = placement_problem(request);
  return problem ? tokens_per_second(*problem) : 0;
}

ModelPlan describe(const OpenRequest& request, const Budget& budget, const Chosen& chosen) {
  const Placement& placement = chosen.placement();
  const StreamLayout layout = lay_out(request.model, true, true);
  ModelPlan plan;
  plan.mode = mode_name(placement.mode);
  plan.budget = budget.bytes;
  plan.process = kProcessMargin;
  plan.context = request.context;
  plan.ubatch = chosen.ubatch().tokens;
  plan.kv_type = chosen.kv().name;
  plan.expert_slots = placement.slots;
  plan.expert_total = chosen.problem.expert_slots();
  if (streams_experts(placement.mode)) {
    plan.layer_slots = layer_slots(layout, chosen.problem, placement);
  }
  plan.pinned_bytes = streams_dense(placement.mode) ? placement.pinned_bytes : chosen.problem.dense_bytes();
  plan.ring_bytes = placement.ring_bytes;
  plan.ledger = make_ledger(chosen);
  plan.tensors = placed_tensors(request.model, chosen);
  plan.prediction = predict(request, chosen, read_process_memory().resident);
  plan.sentence = plan_sentence(request, chosen, budget.remark);
  plan.why = why_sentence(request, chosen, plan.prediction);
  plan.lp = chosen.solution.bound.has_value();
  plan.lp_gap = chosen.solution.gap();
  const double pace = plan.prediction.pace.value_or(1);
  plan.more_memory_tokens_per_second = with_more_memory(chosen.problem) / pace;
  plan.more_disk_tokens_per_second = with_more_disk(chosen.problem) / pace;
  plan.repacked_tokens_per_second = placement.mode == Mode::kResident ? 0 : with_packed_copy(request) / pace;
  plan.warnings = plan_warnings(request, chosen);
  return plan;
}

}  // namespace

Result<ModelPlan> plan_model(const EngineOptions& options, const MachineProfile* profile) {
  return open_model(options.model).and_then([&](const Model& model) { return plan_model(model, options, profile); });
}

Result<ModelPlan> plan_model(const Model& model, const EngineOptions& options, const MachineProfile* profile) {
  return plan_model(model, options, profile, {});
}

Result<ModelPlan> plan_model(const Model& model, const EngineOptions& options, const MachineProfile* profile,
                             const PlanOverrides& overrides) {
  if (Status status = init_llama(); !status) {  // what its kernels want of memory is part of the plan
    return propagate(status.error());
  }
  auto budget = choose_budget(options);
  if (!budget) {
    return propagate(budget.error());
  }
  std::optional<std::string> beyond;
  if (options.memory && *options.memory > budget->bytes) {
    beyond = fmt::format("this machine now allows {}: here `hypura run` would lower the budget to that",
                         format_bytes(budget->bytes));
    *budget = {*options.memory, {}};  // a plan may be made for another machine
  }
  const Model used = used_part(model, options.draft.mtp);
  if (Status status = try_model(used, {true, options.draft.mtp}); !status) {
    return propagate(status.error());
  }
  const Knowledge knowledge = recall(used, profile);
  const OpenRequest request = make_request(options, used, budget->bytes, knowledge, overrides);
  auto problem = placement_problem(request);
  if (!problem) {
    return propagate(problem.error());
  }
  auto solution = place(*problem);
  if (!solution) {  // by estimates
    *problem = with_real_sizes(request, std::move(*problem));
    solution = place(*problem);
  }
  if (!solution) {
    return too_small(request, *problem);
  }
  ModelPlan plan = describe(request, *budget, Chosen{std::move(*problem), std::move(*solution)});
  if (beyond) {
    plan.warnings.push_back(std::move(*beyond));
  }
  return plan;
}

}  // namespace hypura
