#include "plan/gpu_layers.h"

#include <algorithm>

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

namespace hypura {

namespace {

constexpr uint64_t kLayerTensorPadding = 256;  // a tensor's alignment on a device, at most

// The one that has layers.
const GpuDeviceInfo& device_of(const OpenRequest& request) {
  return request.gpu.devices.front().info;
}

// Of a request's model: its layers, and then its output.
class LayerSpeeds {
 public:
  LayerSpeeds(const OpenRequest& request, uint32_t pass)
      : request_(request),
        cpu_(request.history.profile, request.threads),
        gpu_(gpu_profile(request, device_of(request).name), device_of(request)),
        pass_(std::max(pass, 2U)) {}

  // Without budgets and what is in memory besides. `kv`: bytes of all keys and values.
  SplitProblem split_problem(uint64_t kv) const;

  // Of all layers, what a token's pass takes on the GPU for each token that is in the context already.
  double attention() const {
    const double width = attention_width(request_.model);
    return is_host() ? cpu_.attention(width) : gpu_.attention(width);
  }

 private:
  bool is_host() const { return request_.gpu.is_processor(); }
  void add_weights(uint64_t kv, SplitProblem& split) const;
  void add_products(SplitProblem& split) const;
  void add_launches(SplitProblem& split) const;
  void add_copies(SplitProblem& split) const;
  PassSeconds product(const TensorInfo& tensor, bool on_gpu) const;

  const OpenRequest& request_;
  MachineSpeeds cpu_;
  GpuFigures gpu_;
  uint32_t pass_;
};

SplitProblem LayerSpeeds::split_problem(uint64_t kv) const {
  SplitProblem split;
  split.layers.resize(static_cast<size_t>(request_.model.layers) + 1);
  split.gpu_budget = request_.gpu.vram();
  split.prompt_pass = pass_;
  split.handover = is_host() ? 0 : gpu_.cut();
  split.offload_from = takes_prompts(request_) ? kOffloadTokens : 0;
  add_weights(kv, split);
  add_products(split);
  add_launches(split);
  add_copies(split);
  return split;
}

void LayerSpeeds::add_weights(uint64_t kv, SplitProblem& split) const {
  const GpuLayers* its = request_.gpu_layers();
  const auto all = static_cast<uint32_t>(split.layers.size());
  uint64_t after = 0;
  for (uint32_t count = 1; count <= all; ++count) {
    const uint64_t bytes = gpu_weight_bytes(request_.model, {count, its == nullptr || its->experts});
    split.layers[all - count].weights = bytes - after;
    split.layers[all - count].kv = count > 1 ? kv / (all - 1) : 0;
    after = bytes;
  }
}

// Of experts, what a token uses.
PassSeconds LayerSpeeds::product(const TensorInfo& tensor, bool on_gpu) const {
  PassSeconds seconds = on_gpu && !is_host() ? product_seconds(gpu_, tensor, pass_) : matrix_seconds(cpu_, tensor);
  if (tensor.role == TensorRole::kRoutedExpert && request_.model.experts > 0) {
    const double used = static_cast<double>(request_.model.experts_used) / static_cast<double>(request_.model.experts);
    seconds.first *= used;
    seconds.more *= used;
  }
  return seconds;
}

void LayerSpeeds::add_products(SplitProblem& split) const {
  const Model& model = request_.model;
  const GpuLayers* its = request_.gpu_layers();
  const bool has_output = std::ranges::any_of(model.tensors, is_output);
  for (const TensorInfo& tensor : model.tensors) {
    const bool with_the_processors = its != nullptr && !its->experts && tensor.role == TensorRole::kRoutedExpert;
    if (is_multiplied(tensor, has_output) && !with_the_processors) {
      const auto layer = std::min(static_cast<size_t>(tensor.layer), split.layers.size() - 1);  // -1: the output
      split.layers[layer].on_cpu += product(tensor, false);
      split.layers[layer].on_gpu += product(tensor, true);
    }
  }
}

void LayerSpeeds::add_launches(SplitProblem& split) const {
  const auto layers = static_cast<double>(split.layers.size() - 1);
  const double before = std::min(request_.options.predicted_at, request_.context);
  const double on_cpu = layer_operations(cpu_) + before / layers * cpu_.attention(attention_width(request_.model));
  const double on_gpu = (is_host() ? layer_operations(cpu_) : layer_launches(gpu_)) + before / layers * attention();
  for (size_t i = 0; i + 1 < split.layers.size(); ++i) {
    split.layers[i].on_cpu.first += on_cpu;
    split.layers[i].on_gpu.first += on_gpu;
  }
}

// One matrix after another.
void LayerSpeeds::add_copies(SplitProblem& split) const {
  double bytes = 0;
  double seconds = 0;
  for (const TensorInfo& tensor : request_.model.tensors) {
    if (tensor.layer >= 0 && is_multiplied(tensor, true)) {
      bytes += static_cast<double>(tensor.extent.length);
      seconds += gpu_.upload(static_cast<double>(tensor.extent.length));
    }
  }
  split.upload_bytes_per_second = seconds > 0 ? bytes / seconds : 1;
}

// What lies in a GPU's own memory besides the layers' tensors: what those are padded by, and the table of embeddings
// where it is the output matrix too.
uint64_t besides_layers(const OpenRequest& request) {
  const Model& model = request.model;
  if (request.gpu.on_ram) {
    return 0;
  }
  uint64_t bytes = model.tensors.size() * kLayerTensorPadding;
  const bool has_output = std::ranges::any_of(model.tensors, is_output);
  for (const TensorInfo& tensor : model.tensors) {
    bytes += is_multiplied(tensor, has_output) && tensor.role == TensorRole::kEmbedding ? tensor.extent.length : 0;
  }
  return bytes;
}

// What no GPU has of the model.
uint64_t host_bytes(const Model& model) {
  const GpuLayers all = {static_cast<uint32_t>(model.layers) + 1, true};
  uint64_t bytes = 0;
  for (const TensorInfo& tensor : model.tensors) {
    bytes += on_gpu(model, all, tensor) ? 0 : tensor.extent.length;
  }
  return bytes;
}

// 0: none fits.
uint32_t best_layers(const OpenRequest& request, uint32_t most) {
  OpenRequest without = request;
  without.planned_layers = GpuLayers{0, true};
  const auto problem = placement_problem(without);
  std::optional<GpuSplit> best;
  for (size_t i = 0; problem && i < problem->kv.size() * problem->ubatch.size(); ++i) {
    const KvChoice& kv = problem->kv[i % problem->kv.size()];
    const UbatchChoice& pass = problem->ubatch[i / problem->kv.size()];
    SplitProblem split = LayerSpeeds(request, pass.tokens).split_problem(kv.bytes);
    split.gpu_fixed = pass.device_bytes + besides_layers(request);
    split.ram_budget = problem->budget;
    split.in_ram = request.gpu.computes_in_ram();
    split.ram_fixed = host_bytes(request.model) + problem->other + pass.bytes;
    split.ring = 2 * problem->largest_slot_bytes();
    split.disk = problem->dense_disk;
    auto its = best_split(split, 1, most);
    if (its) {
      its->objective *= 1 + kv.slower;
    }
    if (its && (!best || its->objective < best->objective)) {
      best = its;
    }
  }
  return best ? best->layers : 0;
}

}  // namespace

bool takes_prompts(const OpenRequest& request) {
  return !request.gpu.is_processor() && request.model.experts == 0;
}

uint32_t largest_pass(const OpenRequest& request) {
  return request.gpu_layers() != nullptr && takes_prompts(request) ? kLargestGpuUbatch : kLargestUbatch;
}

void add_gpu_layers(const OpenRequest& request, PlacementProblem& problem) {
  const GpuLayers& layers = *request.gpu_layers();
  const LayerSpeeds speeds(request, problem.ubatch.front().tokens);
  GpuSplitPart part = gpu_part(speeds.split_problem(0), layers.count);
  part.in_ram = request.gpu.computes_in_ram();
  part.weights += layers.count > 0 ? besides_layers(request) : 0;
  const double kept = kv_share_before_gpu(request.model, layers);
  part.attention = (1 - kept) * speeds.attention();
  problem.split = part;
  for (KvChoice& it : problem.kv) {
    it.device_bytes = estimate_kv_bytes(request.model, request.cells(), it.type) - it.bytes;
  }
  for (UbatchChoice& it : problem.ubatch) {
    it.device_bytes = request.gpu.on_ram ? 0 : it.bytes;  // either may need as much as one that computes all
  }
}

bool may_divide(const OpenRequest& request, const PlacementProblem& problem) {
  return problem.gpu && !request.overrides.gpu && request.model.experts == 0 && problem.gpu->may_hold_all &&
         problem.gpu->obstacle.empty();
}

Result<PlacementProblem> planned_problem(OpenRequest& request, std::optional<uint32_t> most) {
  request.planned_layers.reset();
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
  if (request.gpu.devices.size() > 1 && request.gpu.named) {
    return fail(
        ErrorCode::kUsage,
        "{} does not fit into the memory of {} as a whole, and a part of a dense model is for one GPU beside the "
        "processors, not for several: name one of them by --gpu",
        request.model.name, request.gpu.name());
  }
  if (request.gpu.devices.size() > 1) {
    request.gpu.devices.resize(1);
    problem = placement_problem(request);
    if (!problem) {
      return problem;
    }
  }
  problem->gpu->may_hold_all = false;
  const auto alone = place(*problem);
  problem->gpu->undivided = most == 0U ? "its memory did not hold what llama.cpp wanted to put there"
                                       : "not even the smallest part of it fits there";
  for (uint32_t count = best_layers(request, most.value_or(UINT32_MAX)); count > 0; --count) {
    request.planned_layers = GpuLayers{count, true};
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
