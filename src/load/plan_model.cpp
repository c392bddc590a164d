#include "load/plan_model.h"

#include <algorithm>

#include "backend/stream_layout.h"
#include "history/model_fingerprint.h"
#include "hypura/engine.h"
#include "hypura/repack.h"
#include "llama/llama_runtime.h"
#include "llama/open/mtp_layers.h"
#include "llama/open/trial_load.h"
#include "load/open_model.h"
#include "load/split_choice.h"
#include "load/workers.h"
#include "machine/memory.h"
#include "placement/gpu_devices.h"
#include "plan/budget_choice.h"
#include "plan/explain.h"
#include "plan/gpu_layers.h"
#include "plan/gpu_words.h"
#include "plan/worker_plans.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr uint64_t kMoreMemory = 1ULL << 30;
constexpr double kMoreDisk = 1e9;

double tokens_per_second(const PlacementProblem& problem) {
  const auto placement = place(problem);
  return placement ? 1 / pass_cost(problem, *placement, 1).seconds : 0;
}

double with_more_memory(PlacementProblem problem) {
  problem.budget += kMoreMemory;
  return tokens_per_second(problem);
}

double with_more_vram(OpenRequest request, PlacementProblem problem) {
  if (request.gpu.has_workers()) {
    return 0;
  }
  if (request.gpu.exists()) {
    request.gpu.devices.front().vram += kMoreMemory;
  }
  if (request.gpu.exists() && request.model.experts == 0) {  // more layers
    const auto more = planned_problem(request);
    return more ? tokens_per_second(*more) : 0;
  }
  if (!problem.gpu) {
    return 0;
  }
  problem.gpu->devices.front().budget += kMoreMemory;
  divide_layers(problem);
  return tokens_per_second(problem);
}

double with_more_disk(PlacementProblem problem) {
  problem.expert_disk.bytes_per_second += kMoreDisk;
  problem.dense_disk.bytes_per_second += kMoreDisk;
  return tokens_per_second(problem);
}

struct RepackedSpeeds {
  double tokens_per_second = 0;
  double prefill512_seconds = 0;
};

RepackedSpeeds with_repacked_copy(OpenRequest request) {
  const bool may = request.options.repack && request.options.mirrors.empty() && !request.reads_repacked();
  if (!may || std::none_of(request.model.tensors.begin(), request.model.tensors.end(), is_repacked)) {
    return {};
  }
  request.repacked.files = {repacked_name(request.model.files.front().path)};
  const auto problem = placement_problem(request);
  const auto placement = problem.and_then([](const PlacementProblem& it) { return place(it); });
  return placement ? RepackedSpeeds{1 / pass_cost(*problem, *placement, 1).seconds,
                                    prompt_seconds(*problem, *placement, 512, true)}
                   : RepackedSpeeds{};
}

// What the plan would be worth with more of something.
void add_improvements(const OpenRequest& request, const PlacementProblem& problem, Plan& plan) {
  const double factor = plan.prediction.calibration.value_or(1);
  plan.more_memory_tokens_per_second = with_more_memory(problem) / factor;
  plan.more_disk_tokens_per_second = with_more_disk(problem) / factor;
  plan.more_vram_tokens_per_second = with_more_vram(request, problem) / factor;
  if (const auto other = mixed_other_way(problem, plan.placement)) {
    plan.mixed_other_way_tokens_per_second = 1 / other->seconds / factor;
  }
  const bool may = plan.mode() != Mode::kResident && !plan.device;
  const RepackedSpeeds repacked = may ? with_repacked_copy(request) : RepackedSpeeds{};
  plan.repacked_tokens_per_second = repacked.tokens_per_second / factor;
  plan.repacked_prefill512_seconds = repacked.prefill512_seconds;
}

}  // namespace

Result<Plan> plan_model(const EngineOptions& options, const MachineProfile* profile) {
  return open_model(options.model).and_then([&](const Model& model) { return plan_model(model, options, profile); });
}

Result<Plan> plan_model(const Model& model, const EngineOptions& options, const MachineProfile* profile) {
  return plan_model(model, options, profile, {});
}

Result<Plan> plan_model(const Model& model, const EngineOptions& options, const MachineProfile* profile,
                        const PlanOverrides& overrides) {
  if (Status status = init_llama(); !status) {  // what its kernels want of memory is part of the plan
    return propagate(status.error());
  }
  auto gpu = choose_gpu(options, overrides);
  if (!gpu) {
    return propagate(gpu.error());
  }
  if (Status status = check_workers(options, *gpu, model); !status) {
    return propagate(status.error());
  }
  std::string beyond;
  std::string beyond_vram;
  const auto budget = planned_budget(options, *gpu, beyond);
  if (!budget) {
    return propagate(budget.error());
  }
  for (size_t i = 0; i < gpu->devices.size(); ++i) {
    ChosenDevice& device = gpu->devices[i];
    const auto asked = asked_vram(options, i);
    const uint64_t runtime = gpu->on_ram ? 0 : gpu_runtime(device.info).on_device;
    if (asked && *asked > device.vram + runtime) {
      beyond_vram = fmt::format("of {}'s memory {} may be used now: here `hypura run` would lower --vram to that",
                                device.info.name, format_bytes(device.vram + runtime));
      device.vram = *asked - runtime;
      device.remark.clear();
    }
  }
  const Model used = used_part(model, options.draft.mtp);
  if (Status status = try_model(used, {true, options.draft.mtp}); !status) {
    return propagate(status.error());
  }
  const uint64_t fingerprint = options.workers.empty() ? 0 : model_fingerprint(model);
  const RunHistory history = load_history(used, profile);
  OpenRequest request = begin_request(options, used, *budget, history, overrides, *gpu);
  if (Status status = look_for_workers(request, fingerprint); !status) {
    return propagate(status.error());
  }
  const auto workers = divide_model(request, fingerprint);  // they stay until the plan is made
  if (!workers) {
    return propagate(workers.error());
  }
  choose_contexts(request);
  leave_out_workers(request);
  request.process_memory = read_process_memory().resident;
  auto problem = planned_problem(request);
  if (!problem) {
    return propagate(problem.error());
  }
  auto placement = place(*problem);
  if (!placement) {  // by estimates
    *problem = with_real_sizes(request, std::move(*problem));
    placement = place(*problem);
  }
  if (!placement) {
    return too_small(request, *problem);
  }
  if (Status status = check_mixed(request, *problem, *placement); !status) {
    return propagate(status.error());
  }
  choose_workers(request, *problem, *placement);
  Plan plan = make_plan(request, *problem, std::move(*placement));
  add_improvements(request, *problem, plan);
  for (auto* warning : {&beyond, &beyond_vram}) {
    if (!warning->empty()) {
      plan.warnings.push_back(std::move(*warning));
    }
  }
  return plan;
}

}  // namespace hypura
