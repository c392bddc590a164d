#include "plan/gpu_layers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "llama/open/memory_estimate.h"
#include "placement/cost.h"
#include "placement/gpu_devices.h"
#include "placement/gpu_placement.h"
#include "placement/gpu_split.h"
#include "plan/gpu_problem.h"
#include "plan/gpu_share.h"
#include "plan/gpu_speeds.h"
#include "plan/multiplied.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

// Of a plan's worth, what is left of it where another layer there, or one less, is worth planning. Chosen: less is not
// what estimates tell.
constexpr double kLeastLayerGain = 0.99;
constexpr uint32_t kFewestOfWorkers = 2;       // layers: the output counts, which stays here
constexpr uint64_t kLayerTensorPadding = 256;  // a tensor's alignment on a device, at most

// Of a request's model: its layers, and then its output.
class LayerSpeeds {
 public:
  LayerSpeeds(const OpenRequest& request, uint32_t pass)
      : request_(request), cpu_(request.history.profile, request.threads), pass_(std::max(pass, 2U)) {
    for (const ChosenDevice& it : request.gpu.devices) {
      gpus_.emplace_back(gpu_profile(request, it.info.name), it.info);
    }
  }

  // Without what is in memory besides. `kv`: bytes of all keys and values.
  SplitProblem split_problem(uint64_t kv) const;

  // Of all layers, what a token's pass takes on that GPU for each token that is in the context already.
  double attention(size_t device) const {
    const double width = attention_width(request_.model);
    return is_host() ? slower({cpu_.attention(width), 0}, device).first : gpus_[device].attention(width);
  }

 private:
  bool is_host() const { return request_.gpu.is_processor() || request_.gpu.has_workers(); }
  // What the processors here take in so many seconds, on those that stand for that GPU.
  PassSeconds slower(PassSeconds here, size_t device) const {
    const double factor = request_.gpu.devices[device].slower;
    return {factor * here.first, factor * here.more};
  }
  std::vector<bool> layers_with_experts() const;
  void add_weights(uint64_t kv, SplitProblem& split) const;
  void add_padding(SplitProblem& split) const;
  void add_slots(SplitProblem& split) const;
  void add_devices(SplitProblem& split) const;
  void add_products(SplitProblem& split) const;
  void add_launches(SplitProblem& split) const;
  double upload_rate(const GpuFigures& gpu) const;
  PassSeconds used_part(const TensorInfo& tensor, PassSeconds seconds) const;
  PassSeconds on_processors(const TensorInfo& tensor) const;
  PassSeconds used_experts(const TensorInfo& tensor) const;

  const OpenRequest& request_;
  MachineSpeeds cpu_;
  std::vector<GpuFigures> gpus_;
  uint32_t pass_;
};

SplitProblem LayerSpeeds::split_problem(uint64_t kv) const {
  SplitProblem split;
  split.layers.resize(static_cast<size_t>(request_.model.layers) + 1);
  split.prompt_pass = pass_;
  split.offload_from = takes_prompts(request_) ? kOffloadTokens : 0;
  split.remote = request_.gpu.has_workers();
  add_weights(kv, split);
  add_padding(split);
  add_slots(split);
  add_devices(split);
  add_products(split);
  add_launches(split);
  return split;
}

void LayerSpeeds::add_weights(uint64_t kv, SplitProblem& split) const {
  const GpuLayers* its = request_.gpu_layers();
  const auto all = static_cast<uint32_t>(split.layers.size());
  uint64_t after = 0;
  for (uint32_t count = 1; count <= all; ++count) {
    const GpuLayers layers = {count, its == nullptr || its->experts, {}, !request_.gpu.has_workers()};
    const uint64_t bytes = gpu_weight_bytes(request_.model, layers);
    split.layers[all - count].weights = bytes - after;
    split.layers[all - count].kv = count > 1 ? kv / (all - 1) : 0;
    after = bytes;
  }
}

// What lies in a GPU's own memory besides a layer's tensors: what those are padded by, and the table of embeddings
// where it is the output matrix too.
void LayerSpeeds::add_padding(SplitProblem& split) const {
  const Model& model = request_.model;
  const bool has_output = std::ranges::any_of(model.tensors, is_output);
  for (size_t i = 0; !request_.gpu.on_ram && i < model.tensors.size(); ++i) {
    const TensorInfo& tensor = model.tensors[i];
    const auto layer = std::min(static_cast<size_t>(tensor.layer), split.layers.size() - 1);  // -1: the output
    const bool copied =
        !request_.gpu.has_workers() && is_multiplied(tensor, has_output) && tensor.role == TensorRole::kEmbedding;
    split.layers[layer].more_on_gpu += kLayerTensorPadding + (copied ? tensor.extent.length : 0);
  }
}

// On a worker each expert takes a slot.
void LayerSpeeds::add_slots(SplitProblem& split) const {
  uint64_t slot = 0;
  for (const ChosenDevice& it : request_.gpu.devices) {
    slot = std::max(slot, it.slot_bytes);
  }
  std::vector<uint64_t> bytes(split.layers.size());
  std::vector<uint64_t> experts(split.layers.size());
  for (const TensorInfo& tensor : request_.model.tensors) {
    if (slot > 0 && tensor.layer >= 0 && tensor.role == TensorRole::kRoutedExpert && tensor.experts() > 1) {
      const auto layer = static_cast<size_t>(tensor.layer);
      bytes[layer] += tensor.extent.length;
      experts[layer] = std::max(experts[layer], static_cast<uint64_t>(tensor.experts()));
    }
  }
  for (size_t i = 0; i < bytes.size(); ++i) {
    split.layers[i].more_on_gpu += experts[i] * slot - std::min(experts[i] * slot, bytes[i]);
  }
}

void LayerSpeeds::add_devices(SplitProblem& split) const {
  for (size_t i = 0; i < gpus_.size(); ++i) {
    SplitDevice& device = split.devices.emplace_back();
    device.budget = request_.gpu.devices[i].vram;
    device.seconds.resize(split.layers.size());
    device.upload_bytes_per_second = upload_rate(gpus_[i]);
    device.handover = is_host() ? request_.gpu.devices[i].visit_seconds : gpus_[i].cut();
  }
}

// Of experts, what a token uses.
PassSeconds LayerSpeeds::used_part(const TensorInfo& tensor, PassSeconds seconds) const {
  if (tensor.role == TensorRole::kRoutedExpert && request_.model.experts > 0) {
    const double used = static_cast<double>(request_.model.experts_used) / static_cast<double>(request_.model.experts);
    seconds.first *= used;
    seconds.more *= used;
  }
  return seconds;
}

PassSeconds LayerSpeeds::on_processors(const TensorInfo& tensor) const {
  const bool experts = tensor.role == TensorRole::kRoutedExpert && tensor.experts() > 1 && request_.model.experts > 0;
  return experts && is_host() ? used_experts(tensor) : used_part(tensor, matrix_seconds(cpu_, tensor));
}

// As layer_computing() (placement/cost.h), of experts that are used alike, for the passes that are reckoned with.
PassSeconds LayerSpeeds::used_experts(const TensorInfo& tensor) const {
  const auto all = static_cast<double>(tensor.experts());
  const double used = std::min(static_cast<double>(std::max<int64_t>(request_.model.experts_used, 1)), all);
  const PassSeconds expert = cpu_.expert_matrix(tensor.type, static_cast<double>(tensor.extent.length) / all,
                                                static_cast<double>(tensor.shape[0] * tensor.shape[1]));
  const double touched = all * (1 - std::pow(1 - used / all, pass_));
  const double first = used * expert.first;
  const double many = touched * expert.first + std::max(0.0, pass_ * used - touched) * expert.more;
  return {first, std::max(0.0, many - first) / (pass_ - 1)};
}

void LayerSpeeds::add_products(SplitProblem& split) const {
  const Model& model = request_.model;
  const GpuLayers* its = request_.gpu_layers();
  const bool has_output = std::ranges::any_of(model.tensors, is_output);
  for (const TensorInfo& tensor : model.tensors) {
    const bool with_the_processors = its != nullptr && !its->experts && tensor.role == TensorRole::kRoutedExpert;
    const bool stays = request_.gpu.has_workers() && tensor.layer < 0;
    if (!is_multiplied(tensor, has_output) || with_the_processors || stays) {
      continue;
    }
    const auto layer = std::min(static_cast<size_t>(tensor.layer), split.layers.size() - 1);  // -1: the output
    const PassSeconds here = on_processors(tensor);
    split.layers[layer].on_cpu += here;
    for (size_t i = 0; i < gpus_.size(); ++i) {
      split.devices[i].seconds[layer] +=
          is_host() ? slower(here, i) : used_part(tensor, product_seconds(gpus_[i], tensor, pass_));
    }
  }
}

std::vector<bool> LayerSpeeds::layers_with_experts() const {
  std::vector<bool> with(static_cast<size_t>(request_.model.layers));
  for (const TensorInfo& tensor : request_.model.tensors) {
    const bool expert = tensor.role == TensorRole::kRoutedExpert && tensor.experts() > 1;
    if (expert && tensor.layer >= 0 && static_cast<size_t>(tensor.layer) < with.size()) {
      with[static_cast<size_t>(tensor.layer)] = true;
    }
  }
  return with;
}

void LayerSpeeds::add_launches(SplitProblem& split) const {
  const auto layers = static_cast<double>(split.layers.size() - 1);
  const double before = std::min(request_.options.predicted_at, request_.context);
  const double width = attention_width(request_.model);
  const std::vector<bool> experts = layers_with_experts();
  for (size_t i = 0; i + 1 < split.layers.size(); ++i) {
    const double operations = layer_operations(cpu_) + (experts[i] ? expert_layer_operations(cpu_, request_.model) : 0);
    const PassSeconds on_cpu = {operations + before / layers * cpu_.attention(width),
                                cpu_.prompt_attention(width) * (kPromptTokens / 2.0) / layers};
    split.layers[i].on_cpu.first += on_cpu.first;
    split.layers[i].on_cpu.more += request_.gpu.has_workers() ? on_cpu.more : 0;
    for (size_t device = 0; device < gpus_.size(); ++device) {
      PassSeconds& there = split.devices[device].seconds[i];
      if (request_.gpu.has_workers()) {
        there += slower(on_cpu, device);
      } else {
        there.first += (is_host() ? operations : layer_launches(gpus_[device])) + before / layers * attention(device);
      }
    }
  }
}

// One matrix after another.
double LayerSpeeds::upload_rate(const GpuFigures& gpu) const {
  double bytes = 0;
  double seconds = 0;
  for (const TensorInfo& tensor : request_.model.tensors) {
    if (tensor.layer >= 0 && is_multiplied(tensor, true)) {
      bytes += static_cast<double>(tensor.extent.length);
      seconds += gpu.upload(static_cast<double>(tensor.extent.length));
    }
  }
  return seconds > 0 ? bytes / seconds : 1;
}

// What no GPU has of the model.
uint64_t host_bytes(const OpenRequest& request) {
  const GpuLayers all = {static_cast<uint32_t>(request.model.layers) + 1, true, {}, !request.gpu.has_workers()};
  uint64_t bytes = 0;
  for (const TensorInfo& tensor : request.model.tensors) {
    bytes += on_gpu(request.model, all, tensor) ? 0 : tensor.extent.length;
  }
  return bytes;
}

// How many layers there may be on all GPUs, the output counted.
struct LayerCounts {
  uint32_t fewest = 1;
  uint32_t most = UINT32_MAX;
};

// The best division with so many layers on all GPUs, and at most so many on each by `of_each`, if there is such; none
// fits: empty.
std::optional<GpuLayers> best_layers(const OpenRequest& request, const LayerCounts& counts,
                                     const std::optional<std::vector<uint32_t>>& of_each, bool all_devices) {
  OpenRequest without = request;
  const bool output = !request.gpu.has_workers();
  without.planned_layers = GpuLayers{0, true, {}, output};
  const auto problem = placement_problem(without);
  std::optional<GpuSplit> best;
  const size_t choices = problem ? problem->kv.size() * problem->ubatch.size() : 0;
  for (size_t i = 0; i < 2 * choices; ++i) {
    const KvChoice& kv = problem->kv[i % problem->kv.size()];
    const UbatchChoice& pass = problem->ubatch[i % choices / problem->kv.size()];
    const TableGroup& tables = problem->tables;
    const bool rows = i >= choices;
    if (!(rows ? tables.may_stream : tables.may_stay)) {
      continue;
    }
    SplitProblem split = LayerSpeeds(request, pass.tokens).split_problem(kv.bytes);
    for (size_t device = 0; device < split.devices.size(); ++device) {
      split.devices[device].fixed = pass.device_bytes;
      split.devices[device].most = of_each ? (*of_each)[device] : split.devices[device].most;
    }
    split.all_devices = all_devices;
    split.ram_budget = problem->budget;
    split.in_ram = request.gpu.computes_in_ram();
    split.ram_fixed = host_bytes(request) + problem->other + pass.bytes;
    if (rows) {
      split.ram_fixed = split.ram_fixed + tables.buffer_bytes - tables.bytes;
      split.token_lookup = lookups(*problem, Mode::kDenseStreaming, true, 1).seconds;
      split.prompt_lookup = lookups(*problem, Mode::kDenseStreaming, true, pass.tokens).seconds;
    }
    split.ring = 2 * problem->largest_slot_bytes();
    split.disk = problem->dense_disk;
    if (request.model.experts > 0) {  // which are what is streamed first
      split.disk = problem->expert_disk;
      split.overlap_loss = kOverlapLoss;
      split.token_part = static_cast<double>(request.model.experts_used) / static_cast<double>(request.model.experts);
    }
    auto its = best_split(split, counts.fewest, counts.most);
    if (its) {
      its->objective *= 1 + kv.slower;
    }
    if (its && (!best || its->objective < best->objective)) {
      best = std::move(its);
    }
  }
  return best ? std::optional(GpuLayers{best->layers, true, best->device_layers, output}) : std::nullopt;
}

// GPUs that were named have a layer each, where that fits.
std::optional<GpuLayers> planned_layers(const OpenRequest& request, const LayerCounts& counts,
                                        const std::optional<std::vector<uint32_t>>& of_each) {
  const bool all = request.gpu.named && request.gpu.devices.size() > 1;
  auto layers = all ? best_layers(request, counts, of_each, true) : std::nullopt;
  return layers ? layers : best_layers(request, counts, of_each, false);
}

}  // namespace

bool takes_prompts(const OpenRequest& request) {
  return !request.gpu.is_processor() && !request.gpu.has_workers() && request.model.experts == 0;
}

uint32_t largest_pass(const OpenRequest& request) {
  uint32_t most = kLargestUbatch;
  for (const ChosenDevice& it : request.gpu.devices) {
    most = it.most_rows > 0 ? std::min(most, it.most_rows) : most;
  }
  return request.gpu_layers() != nullptr && takes_prompts(request) ? kLargestGpuUbatch : most;
}

void add_gpu_layers(const OpenRequest& request, PlacementProblem& problem) {
  const GpuLayers& layers = *request.gpu_layers();
  const LayerSpeeds speeds(request, problem.ubatch.front().tokens);
  const std::vector<uint32_t> of_devices = request.layers_of_devices();
  // Of keys and values only the shares are taken from here.
  GpuSplitPart part = gpu_part(speeds.split_problem(kGiB), of_devices);
  part.in_ram = request.gpu.computes_in_ram();
  for (size_t i = 0; i < of_devices.size(); ++i) {
    part.attention += (1 - kv_share_before_gpu(request.model, layers)) * part.devices[i].kv_share * speeds.attention(i);
  }
  const auto used = static_cast<uint64_t>(request.devices_with_layers().size());
  problem.split = part;
  for (KvChoice& it : problem.kv) {
    it.device_bytes = estimate_context_bytes(request.model, request.cells(), it.type, request.sequences) - it.bytes;
  }
  for (UbatchChoice& it : problem.ubatch) {
    // Any may need as much as one that computes all.
    it.device_bytes = request.gpu.on_ram ? 0 : used * it.bytes;
  }
}

void correct_gpu_layers(GpuSplitPart& split, const ContextMemory& real) {
  const auto share = [](uint64_t its, uint64_t all) {
    return all > 0 ? static_cast<double>(its) / static_cast<double>(all) : 0;
  };
  size_t used = 0;
  for (GpuSplitShare& it : split.devices) {
    if (it.layers > 0 && used < real.devices.size()) {
      it.kv_share = share(real.devices[used].kv, real.device_kv);
      it.compute_share = share(real.devices[used].compute, real.device_compute);
      ++used;
    }
  }
}

bool may_divide(const OpenRequest& request, const PlacementProblem& problem) {
  return problem.gpu && !request.overrides.gpu && request.model.experts == 0 && problem.gpu->may_hold_all &&
         problem.gpu->obstacle.empty();
}

namespace {

// A division among workers that fits, with its plan's worth.
struct WorkersShare {
  GpuLayers layers;
  PlacementProblem problem;
  double objective = 0;
};

// The best by counts that are so; fewer where its plan does not fit. `request` is left with those layers planned.
std::optional<WorkersShare> share_of_workers(OpenRequest& request, LayerCounts counts,
                                             const std::optional<std::vector<uint32_t>>& of_each) {
  for (auto layers = planned_layers(request, counts, of_each); layers;
       layers = planned_layers(request, counts, of_each)) {
    request.planned_layers = layers;
    auto problem = placement_problem(request);
    const auto placement = problem ? place(*problem) : Result<Placement>(propagate(problem.error()));
    if (placement) {
      const double its = objective(*problem, *placement);
      return WorkersShare{*layers, std::move(*problem), its};
    }
    counts.most = layers->count - 1;
  }
  return std::nullopt;
}

// With one layer more or less, and so on, while that is better: which count is best is only estimated before, and what
// a plan reads of experts is known when it is made.
void improve_share(OpenRequest& request, WorkersShare& share, const std::optional<std::vector<uint32_t>>& of_each) {
  for (const bool more : {true, false}) {
    const uint32_t from = share.layers.count;
    while (more || share.layers.count > kFewestOfWorkers) {
      const uint32_t count = more ? share.layers.count + 1 : share.layers.count - 1;
      auto next = share_of_workers(request, {count, count}, of_each);
      if (!next || next->objective > kLeastLayerGain * share.objective) {
        break;
      }
      share = std::move(*next);
    }
    if (share.layers.count != from) {
      break;
    }
  }
  request.planned_layers = share.layers;
}

// As many of the last layers for the workers as are best, one at least; none where that does not fit.
Result<PlacementProblem> planned_for_workers(OpenRequest& request, const std::optional<std::vector<uint32_t>>& most) {
  const auto by_hand = request.overrides.worker_layers;
  const LayerCounts counts = by_hand ? LayerCounts{*by_hand + 1, *by_hand + 1} : LayerCounts{kFewestOfWorkers};
  if (auto share = share_of_workers(request, counts, most)) {
    if (!by_hand) {
      improve_share(request, *share, most);
    }
    return std::move(share->problem);
  }
  request.planned_layers.reset();
  return placement_problem(request);
}

}  // namespace

Result<PlacementProblem> planned_problem(OpenRequest& request, const std::optional<std::vector<uint32_t>>& most) {
  request.planned_layers.reset();
  if (request.gpu.has_workers()) {
    return planned_for_workers(request, most);
  }
  auto problem = placement_problem(request);
  if (problem && problem->gpu) {
    divide_layers(*problem);
  }
  if (!problem || !may_divide(request, *problem)) {
    return problem;
  }
  if (!most && place_on_gpu(*problem)) {
    return problem;
  }
  problem->gpu->may_hold_all = false;
  const auto alone = place(*problem);
  const bool nothing = most && std::ranges::count(*most, 0U) == std::ssize(*most);
  const char* whose = request.gpu.devices.size() > 1 ? "their" : "its";
  problem->gpu->undivided = nothing ? fmt::format("{} memory did not hold what llama.cpp wanted to put there", whose)
                                    : "not even the smallest part of it fits there";
  for (auto layers = planned_layers(request, {}, most); layers;
       layers = planned_layers(request, {1, layers->count - 1}, most)) {
    request.planned_layers = layers;
    auto divided = placement_problem(request);
    const auto placement = divided ? place(*divided) : Result<Placement>(propagate(divided.error()));
    const bool better = placement && alone && gpu_objective(*divided, *placement) < gpu_objective(*problem, *alone);
    if (placement && (request.gpu.named || !alone || better)) {
      return divided;
    }
    if (placement) {
      problem->gpu->undivided = "with a part of it there, it would be no faster than the processors alone";
      break;
    }
  }
  request.planned_layers.reset();
  return problem;
}

}  // namespace hypura
