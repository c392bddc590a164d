// What is asked for when a model is opened: the part of placement_problem.h that comes before the problem.
#include <algorithm>

#include "machine/memory.h"
#include "plan/context_choice.h"
#include "plan/gpu_problem.h"
#include "plan/gpu_share.h"
#include "plan/placement_problem.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

// A small model's matrices are cut smaller, so that two ranges are no more than a sixteenth of what is no expert.
// Chosen.
constexpr uint64_t kRangesOfModel = 32;
constexpr uint64_t kSmallestRangeOfAll = 256 * kKiB;

}  // namespace

uint64_t OpenRequest::range_bytes() const {
  uint64_t dense = 0;
  for (const TensorInfo& tensor : model.tensors) {
    dense += tensor.experts() > 0 ? 0 : tensor.extent.length;
  }
  const uint64_t for_model = std::max(dense / kRangesOfModel, kSmallestRangeOfAll);
  const uint64_t for_machine = MachineSpeeds(history.profile, threads).range_bytes();
  return overrides.range_bytes.value_or(std::min(for_machine, for_model));
}

std::vector<uint32_t> OpenRequest::layers_of_devices() const {
  const GpuLayers* layers = gpu_layers();
  if (layers == nullptr) {
    return {};
  }
  std::vector<uint32_t> counts = layers->of_devices;
  counts.resize(gpu.devices.size());
  if (layers->of_devices.empty()) {
    counts.front() = layers->count;
  }
  return counts;
}

std::vector<size_t> OpenRequest::devices_with_layers() const {
  const std::vector<uint32_t> counts = layers_of_devices();
  std::vector<size_t> devices;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] > 0) {
      devices.push_back(i);
    }
  }
  if (devices.empty() && !counts.empty()) {
    devices.push_back(0);
  }
  return devices;
}

std::vector<std::string> OpenRequest::names_with_layers() const {
  std::vector<std::string> names;
  for (const size_t device : devices_with_layers()) {
    names.push_back(gpu.devices[device].info.name);
  }
  return names;
}

StreamLayout OpenRequest::layout(bool experts, bool dense, bool from_copy, bool rows,
                                 std::optional<uint32_t> host_layers) const {
  const GpuLayers* layers = gpu_layers();
  const StreamedTables tables = {rows, layers == nullptr && !host_layers, overrides.row_cache};
  StreamedLayers of = layers == nullptr ? StreamedLayers() : layers_before_gpu(model, *layers);
  if (host_layers) {
    of.dense = *host_layers;
    of.output = false;
    of.alike = true;
  }
  StreamLayout layout = lay_out(model, experts, dense, from_copy, of, range_bytes(), tables);
  layout.workers = messaged_workers();
  const MachineSpeeds speeds(history.profile, threads);
  std::vector<int>& never = layout.never_repacked;
  for (const TensorInfo& tensor : model.tensors) {
    if (speeds.gains_nothing_repacked(tensor.type) && std::ranges::find(never, tensor.type) == never.end()) {
      never.push_back(tensor.type);
    }
  }
  return layout;
}

uint32_t OpenRequest::messaged_workers() const {
  if (options.split == WorkerSplit::kLayers) {
    return 0;
  }
  return static_cast<uint32_t>(options.workers.size() -
                               static_cast<size_t>(std::ranges::count_if(workers, &PlannedWorker::left_out)));
}

OpenRequest begin_request(const EngineOptions& options, const Model& model, const BudgetChoice& budget,
                          const RunHistory& history, const PlanOverrides& overrides, const ChosenGpu& gpu) {
  OpenRequest request = {
      options,
      model,
      budget.bytes,
      options.threads > 0 ? options.threads : usable_cores(),
      static_cast<uint32_t>(std::min<int64_t>(options.context, model.context_length)),
      history,
      std::max(options.sequences, 1U),
      {},
      may_read_repacked(options) && !(overrides.gpu && overrides.gpu->layers) ? find_repacked(model) : RepackedCopy()};
  request.budget_remark = budget.remark;
  request.overrides = overrides;
  request.gpu = gpu;
  return request;
}

void choose_contexts(OpenRequest& request) {
  const EngineOptions& options = request.options;
  if (options.context == 0) {
    const ContextChoice choice = choose_context(request);
    request.context = choice.context;
    request.pool = choice.pool;
    request.context_remark = context_sentence(request, choice.why);
  } else if (options.sequences + options.idle_sequences > 1) {
    request.pool = choose_pool(request);
    request.context_remark = request.cells() < request.context * request.sequences ? context_sentence(request, {}) : "";
  }
  if (request.overrides.pool) {
    request.pool = std::max(*request.overrides.pool, request.context);
  }
}

OpenRequest make_request(const EngineOptions& options, const Model& model, const BudgetChoice& budget,
                         const RunHistory& history, const PlanOverrides& overrides, const ChosenGpu& gpu) {
  OpenRequest request = begin_request(options, model, budget, history, overrides, gpu);
  choose_contexts(request);
  return request;
}

namespace {

// Whether some experts are neither on a GPU nor in RAM.
bool lacks_experts(const OpenRequest& request, const Placement& placement) {
  const std::vector<uint32_t>& in_ram = placement.experts.layer_slots;
  for (size_t i = 0; i < placement.gpu->layer_slots.size(); ++i) {
    const uint64_t held = uint64_t{placement.gpu->layer_slots[i]} + (i < in_ram.size() ? in_ram[i] : 0);
    if (held < static_cast<uint64_t>(request.model.experts)) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::string calibration_key(const OpenRequest& request, const Placement& placement) {
  if (placement.gpu) {
    const uint32_t host = placement.gpu->host_layers;
    // What RAM lacks is waited for, and that is off by another factor than copies are.
    return fmt::format("{} on {}, {}{}{}{}", to_string(placement.mode()), joined_names(used_names(request, placement)),
                       to_string(placement.kv_type), placement.gpu->mixed ? ", mixed" : "",
                       lacks_experts(request, placement) ? ", from disk" : "",
                       host > 0 ? fmt::format(", {} layers on the processors", host) : "");
  }
  std::string key = fmt::format("{}, {} threads, {}{}{}", to_string(placement.mode()), request.threads,
                                request.reads_repacked() ? "repacked copy" : (request.repacks() ? "repacked" : "plain"),
                                placement.kv_type == KvType::kF16 ? "" : ", ",
                                placement.kv_type == KvType::kF16 ? "" : to_string(placement.kv_type));
  if (const GpuLayers* layers = request.gpu_layers()) {
    key += fmt::format(", {} layers on {}", layers->count, joined_names(request.names_with_layers()));
  }
  return key;
}

}  // namespace hypura
