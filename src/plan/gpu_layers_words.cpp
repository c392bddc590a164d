#include "plan/gpu_layers_words.h"

#include <fmt/format.h>

#include <algorithm>

#include "backend/remote_layers.h"
#include "placement/cost.h"
#include "plan/gpu_words.h"
#include "support/units.h"

namespace hypura {

namespace {

// Of the GPUs that have layers.
std::vector<DeviceShare> split_shares(const OpenRequest& request, const PlacementProblem& problem,
                                      const Placement& placement) {
  const GpuSplitPart& split = *problem.split;
  const std::vector<uint64_t> bytes =
      split_bytes_of_devices(problem, problem.kv_choice(placement), problem.ubatch_choice(placement));
  std::vector<DeviceShare> shares;
  uint32_t next = split.all - split.layers;
  for (const size_t i : request.devices_with_layers()) {
    const GpuSplitShare& its = split.devices[i];
    shares.push_back({request.gpu.devices[i].info.name, its.budget, bytes[i], next, its.layers});
    next += its.layers;
  }
  shares.back().layers -= shares.back().layers > 0 ? 1 : 0;  // the output
  return shares;
}

}  // namespace

DevicePlan split_device_plan(const OpenRequest& request, const PlacementProblem& problem, const Placement& placement) {
  const GpuSplitPart& split = *problem.split;
  const PassCost token = pass_cost(problem, placement, 1);
  DevicePlan plan;
  plan.name = joined_names(request.names_with_layers());
  plan.shares = split_shares(request, problem, placement);
  plan.description = request.gpu.devices[request.devices_with_layers().front()].info.description;
  plan.budget = budget_of(plan.shares);
  plan.layers = split.layers > 0 ? split.layers - 1 : 0;
  plan.all_layers = split.all - 1;
  plan.weights = split.weights();
  plan.compute_seconds = split.on_gpu.first;
  plan.cpu_seconds = std::max(0.0, token.compute - split.on_gpu.first);
  plan.disk_seconds = token.bytes / problem.dense_disk.bytes_per_second;
  if (plan.shares.size() == 1) {
    plan.shares.clear();
  }
  return plan;
}

std::vector<WorkerPlan> split_worker_plans(const OpenRequest& request, const PlacementProblem& problem) {
  std::vector<uint32_t> layers = request.layers_of_devices();
  layers.resize(request.gpu.workers.size());
  if (problem.split) {  // the output counts, as the last one's
    --layers[request.devices_with_layers().back()];
  }
  std::vector<WorkerPlan> plans;
  for (size_t i = 0; i < layers.size(); ++i) {
    const RemoteLayers& worker = *request.gpu.workers[i];
    WorkerPlan& plan = plans.emplace_back();
    plan.name = worker.name();
    plan.there = true;
    plan.asked = layers[i] > 0;
    plan.layers = layers[i];
    plan.reason =
        plan.asked ? ""
                   : "the plan has no layers for the " + format_bytes(worker.verdict().peer_memory) + " that it gives";
    plan.threads = worker.verdict().threads;
    plan.budget = worker.verdict().peer_memory;
    plan.disk_bytes_per_second = worker.verdict().disk_bytes_per_second;
    plan.round_trip_seconds = worker.way().round_trip;
    plan.slow_round_trip_seconds = worker.way().slow_round_trip;
    plan.send_bytes_per_second = worker.way().send_bytes_per_second;
    plan.receive_bytes_per_second = worker.way().receive_bytes_per_second;
  }
  return plans;
}

std::vector<LedgerLine> split_ledger(const PlacementProblem& problem, const Placement& placement) {
  if (!problem.split || problem.split->remote) {
    return {};
  }
  const Purpose weights = placement.mode() == Mode::kResident ? Purpose::kWeights : Purpose::kResidentWeights;
  const std::string type = placement.kv_type == KvType::kF16 ? "" : fmt::format(", {}", to_string(placement.kv_type));
  std::vector<LedgerLine> ledger;
  const auto add = [&](Purpose purpose, uint64_t bytes, const std::string& note = {}) {
    if (bytes > 0) {
      ledger.push_back({purpose, bytes, note, Tier::kDevice});
    }
  };
  add(weights, problem.split->weights());
  add(Purpose::kKvCache, problem.kv_choice(placement).device_bytes, type);
  add(Purpose::kComputeBuffers, problem.ubatch_choice(placement).device_bytes);
  return ledger;
}

std::string split_sentence(const OpenRequest& request, const PlacementProblem& problem, const Placement& placement) {
  const GpuSplitPart& split = *problem.split;
  const std::vector<DeviceShare> shares = split_shares(request, problem, placement);
  const std::vector<std::string> names = request.names_with_layers();
  const std::string of_all = fmt::format("of {} layers", split.all - 1);
  if (split.remote) {
    return fmt::format("{} ({}) in {}{}, and {} of worker{} {}: {} {} there, ", request.model.name,
                       format_bytes(request.model.bytes), format_bytes(request.budget), request.budget_remark,
                       format_bytes(budget_of(shares)), names.size() > 1 ? "s" : "", joined_names(names),
                       split.layers - 1, of_all);
  }
  const std::string layers = split.layers == 0   ? "none " + of_all
                             : split.layers == 1 ? "the output and none " + of_all
                                                 : fmt::format("{} {} and the output", split.layers - 1, of_all);
  const bool several = shares.size() > 1;
  return fmt::format("{} ({}) on {} in {} of {} memory{} and {} of RAM{}: {} {}, {}", request.model.name,
                     format_bytes(request.model.bytes), joined_names(names), format_bytes(budget_of(shares)),
                     several ? "their" : "its", request.gpu.remark(names), format_bytes(request.budget),
                     request.budget_remark, layers, several ? "there" : "on " + names.front(), shares_words(shares));
}

std::string split_token_sentence(const OpenRequest& request, const PlacementProblem& problem, const Plan& plan) {
  const DevicePlan device = split_device_plan(request, problem, plan.placement);
  const bool remote = problem.split->remote;
  std::string text = fmt::format("{}{} {} {:.1f} ms of a token, the processors {}{:.1f} ms",
                                 !remote                 ? ""
                                 : device.shares.empty() ? "worker "
                                                         : "workers ",
                                 device.name, device.shares.empty() ? "computes" : "compute",
                                 device.compute_seconds * 1000, remote ? "here " : "", device.cpu_seconds * 1000);
  if (remote && device.shares.empty()) {
    text += fmt::format(", and going there takes {:.2f} ms", problem.split->handover * 1000);
  }
  if (plan.prediction.bytes_per_token > 0) {
    text +=
        fmt::format("; {} are read from disk for each, which takes {:.1f} ms",
                    format_bytes(static_cast<uint64_t>(plan.prediction.bytes_per_token)), device.disk_seconds * 1000);
  }
  return text;
}

}  // namespace hypura
