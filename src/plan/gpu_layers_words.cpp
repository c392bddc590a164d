#include "plan/gpu_layers_words.h"

#include <fmt/format.h>

#include <algorithm>

#include "placement/cost.h"
#include "support/units.h"

namespace hypura {

DevicePlan split_device_plan(const OpenRequest& request, const PlacementProblem& problem, const Placement& placement) {
  const GpuSplitPart& split = *problem.split;
  const PassCost token = pass_cost(problem, placement, 1);
  DevicePlan plan;
  plan.name = request.gpu.name();
  plan.description = request.gpu.devices.front().info.description;
  plan.budget = request.gpu.vram();
  plan.layers = split.layers > 0 ? split.layers - 1 : 0;
  plan.all_layers = split.all - 1;
  plan.weights = split.weights;
  plan.compute_seconds = split.on_gpu.first;
  plan.cpu_seconds = std::max(0.0, token.compute - split.on_gpu.first);
  plan.disk_seconds = token.bytes / problem.dense_disk.bytes_per_second;
  return plan;
}

std::vector<LedgerLine> split_ledger(const PlacementProblem& problem, const Placement& placement) {
  if (!problem.split) {
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
  add(weights, problem.split->weights);
  add(Purpose::kKvCache, problem.kv_choice(placement).device_bytes, type);
  add(Purpose::kComputeBuffers, problem.ubatch_choice(placement).device_bytes);
  return ledger;
}

std::string split_sentence(const OpenRequest& request, const GpuSplitPart& split) {
  const std::string device = request.gpu.name();
  const std::string of_all = fmt::format("of {} layers", split.all - 1);
  const std::string layers = split.layers == 0   ? "none " + of_all
                             : split.layers == 1 ? "the output and none " + of_all
                                                 : fmt::format("{} {} and the output", split.layers - 1, of_all);
  return fmt::format("{} ({}) on {} in {} of its memory{} and {} of RAM{}: {} on {}, ", request.model.name,
                     format_bytes(request.model.bytes), device, format_bytes(request.gpu.vram()),
                     request.gpu.remark({device}), format_bytes(request.budget), request.budget_remark, layers, device);
}

std::string split_token_sentence(const Plan& plan) {
  const DevicePlan& device = *plan.device;
  std::string text = fmt::format("{} computes {:.1f} ms of a token, the processors {:.1f} ms", device.name,
                                 device.compute_seconds * 1000, device.cpu_seconds * 1000);
  if (plan.prediction.bytes_per_token > 0) {
    text +=
        fmt::format("; {} are read from disk for each, which takes {:.1f} ms",
                    format_bytes(static_cast<uint64_t>(plan.prediction.bytes_per_token)), device.disk_seconds * 1000);
  }
  return text;
}

}  // namespace hypura
