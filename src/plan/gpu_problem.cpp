#include "plan/gpu_problem.h"

#include <fmt/format.h>

#include <algorithm>

#include "backend/gpu/device_sizes.h"
#include "backend/stream_layout.h"
#include "backend/streamed_weights.h"
#include "llama/open/memory_estimate.h"
#include "llama/open/mtp_layers.h"
#include "placement/gpu_devices.h"
#include "plan/gpu_figures.h"
#include "plan/gpu_layers.h"
#include "plan/gpu_speeds.h"

namespace hypura {

namespace {

constexpr uint64_t kTensorPadding = 256;  // a tensor's alignment on a device, at most

// The processors as a GPU: what is copied goes from RAM to RAM.
GpuSpeeds speeds_of_processors(const PlacementProblem& problem) {
  GpuSpeeds speeds;
  speeds.upload_bytes_per_second = speeds.download_bytes_per_second = 8e9;
  speeds.sync_seconds = problem.block_seconds;
  speeds.rest = problem.rest;
  for (const DenseWeight& it : problem.dense) {
    speeds.dense.push_back(it.seconds);
  }
  for (const ExpertGroup& it : problem.experts) {
    speeds.experts.push_back(it.seconds);
  }
  speeds.attention = problem.attention;
  speeds.resident = problem.resident;
  return speeds;
}

class GpuProblemBuilder {
 public:
  GpuProblemBuilder(const OpenRequest& request, const PlacementProblem& problem)
      : request_(request), problem_(problem), layout_(lay_out(request.model, true, false)) {}

  GpuProblem build();

 private:
  void add_ways();
  void add_layers();
  void add_passes();
  void add_groups();
  void add_borrowing(const std::vector<size_t>& groups);
  void add_device(const ChosenDevice& device);

  // The processors' own device has no other memory than RAM, all of it counted as the device's.
  bool is_host() const { return request_.gpu.is_processor(); }

  const OpenRequest& request_;
  const PlacementProblem& problem_;
  StreamLayout layout_;
  GpuProblem gpu_;
};

GpuProblem GpuProblemBuilder::build() {
  add_ways();
  add_layers();
  add_passes();
  add_groups();
  for (const ChosenDevice& device : request_.gpu.devices) {
    add_device(device);
  }
  return std::move(gpu_);
}

void GpuProblemBuilder::add_ways() {
  const PlanOverrides& overrides = request_.overrides;
  const auto allowed = [&](Mode mode) { return !overrides.mode || *overrides.mode == mode; };
  gpu_.may_stream = !layout_.expert_layers.empty() && allowed(Mode::kExpertStreaming);
  gpu_.may_hold_all =
      request_.options.resident && !request_.options.record_routing && !overrides.gpu && allowed(Mode::kResident);
  gpu_.mixed = request_.options.mixed_compute;
  gpu_.required = request_.gpu.named;
  gpu_.in_ram = request_.gpu.computes_in_ram();
  gpu_.or_processors = !gpu_.may_stream;
  gpu_.may_look_up = !is_host();
  gpu_.may_leave_layers = gpu_.may_stream && !gpu_.in_ram && !is_host() && !overrides.gpu;
  gpu_.host.may_stream = gpu_.may_leave_layers && !overrides.mode;
  gpu_.offload_from = kOffloadTokens;
  if (overrides.gpu) {
    gpu_.layer_slots = overrides.gpu->layer_slots;
    gpu_.stages = overrides.gpu->stages;
  }
}

// llama.cpp looks tokens up on the processors: the table stays in RAM, and where it is the output matrix as well the
// last device has another. What is outside the layers lies there too.
void GpuProblemBuilder::add_layers() {
  const Model& model = request_.model;
  const auto layers = static_cast<size_t>(std::max<int64_t>(model.layers, 0));
  gpu_.layers.resize(layers + 1);
  uint64_t table = 0;
  bool has_output = false;
  for (const TensorInfo& tensor : model.tensors) {
    has_output = has_output || tensor.role == TensorRole::kOutput;
    table += tensor.role == TensorRole::kEmbedding ? tensor.extent.length : 0;
    const size_t layer = tensor.layer < 0 ? layers : std::min(static_cast<size_t>(tensor.layer), layers);
    gpu_.layers[layer].weights += kTensorPadding;
    gpu_.layers[layer].weights += layout_.streams(tensor) ? 0 : tensor.extent.length;
  }
  GpuModelLayer& output = gpu_.layers.back();
  output.weights += loaded_though_unused(model);
  output.weights -= has_output && !is_host() ? table : 0;
  gpu_.host_weights = is_host() ? 0 : table;
  for (size_t i = 0; i < layers; ++i) {
    gpu_.layers[i].kv_share = 1 / static_cast<double>(layers);
  }
  for (const ExpertLayer& layer : layout_.expert_layers) {
    gpu_.layers[static_cast<size_t>(layer.layer)].streams = true;
  }
  if (gpu_.host.may_stream) {
    for (const DenseItem& item : request_.layout(true, true, false, false, static_cast<uint32_t>(layers)).dense) {
      ++gpu_.layers[static_cast<size_t>(item.tensor->layer)].dense;
    }
  }
}

void GpuProblemBuilder::add_passes() {
  gpu_.kv = problem_.kv;
  const EngineOptions& options = request_.options;
  const Model& model = request_.model;
  const uint32_t least = std::max(kSmallestUbatch, request_.sequences);
  uint32_t ubatch = std::min(options.ubatch > 0 ? options.ubatch : kLargestGpuUbatch, request_.context);
  ubatch = std::max(ubatch, request_.sequences);
  const uint64_t mask = 2 * uint64_t{request_.cells()};
  do {
    const uint32_t outputs = request_.outputs(ubatch);
    const uint64_t on_device = estimate_compute_bytes(model, ubatch, request_.cells(), outputs);
    // What the device is given, and the logits that come back.
    const uint64_t in_ram = ubatch * (static_cast<uint64_t>(model.embedding_length) * sizeof(float) + mask) +
                            static_cast<uint64_t>(outputs) * static_cast<uint64_t>(model.vocabulary) * sizeof(float);
    UbatchChoice choice;
    choice.tokens = ubatch;
    choice.bytes = is_host() ? 0 : in_ram;
    choice.device_bytes = on_device + (is_host() ? in_ram : 0);
    const auto devices = static_cast<uint32_t>(request_.gpu.devices.size());
    const IdBytes buffers = StreamedWeights::gpu_buffer_bytes(layout_, model, ubatch, devices, false);
    choice.expert_bytes = buffers.in_ram;
    choice.host_bytes = on_device;
    choice.host_expert_bytes = StreamedWeights::expert_buffer_bytes(layout_, ubatch);
    gpu_.mixed_bytes = StreamedWeights::gpu_buffer_bytes(layout_, model, ubatch, devices, true).in_ram - buffers.in_ram;
    gpu_.other = std::max(gpu_.other, StreamedWeights::gpu_buffer_bytes(layout_, model, ubatch, 1, false).on_device);
    gpu_.ubatch.push_back(choice);
    ubatch /= 2;
  } while (options.ubatch == 0 && ubatch >= least);
}

// What slots take, on the device where that is most.
void GpuProblemBuilder::add_groups() {
  const std::vector<size_t> groups = groups_of_layers(layout_);
  for (const ChosenDevice& device : request_.gpu.devices) {
    for (size_t i = 0; i < groups.size(); ++i) {
      const DeviceSizes sizes = device_sizes(device.info.name, layout_.expert_layers[i]);
      gpu_.groups.resize(std::max(gpu_.groups.size(), groups[i] + 1));
      GpuGroup& group = gpu_.groups[groups[i]];
      group.slot_bytes = std::max(group.slot_bytes, sizes.expert_bytes);
      group.layer_bytes = std::max(group.layer_bytes, sizes.layer_bytes);
      group.borrows = true;
    }
  }
  add_borrowing(groups);
}

// On all of the devices.
void GpuProblemBuilder::add_borrowing(const std::vector<size_t>& groups) {
  for (const ChosenDevice& device : request_.gpu.devices) {
    const std::vector<bool> pooled = layers_that_borrow(device.info.name, layout_, device.vram);
    for (size_t i = 0; i < groups.size(); ++i) {
      gpu_.groups[groups[i]].borrows = gpu_.groups[groups[i]].borrows && pooled[i];
    }
  }
}

void GpuProblemBuilder::add_device(const ChosenDevice& device) {
  GpuPart& part = gpu_.devices.emplace_back();
  part.budget = device.vram;
  if (is_host()) {
    part.speeds.assign(gpu_.ubatch.size(), speeds_of_processors(problem_));
    return;
  }
  const GpuFigures figures(gpu_profile(request_, device.info.name), device.info, request_.gpu.cut_seconds);
  for (const UbatchChoice& pass : gpu_.ubatch) {
    part.speeds.push_back(gpu_speeds(figures, request_, problem_, pass.tokens));
  }
  if (const std::string type = type_without_kernel(figures, request_.model); !type.empty()) {
    gpu_.obstacle = fmt::format("{} has no kernels for the model's matrices of type {}", device.info.name, type);
    gpu_.or_processors = false;
  }
}

}  // namespace

const GpuProfile* gpu_profile(const OpenRequest& request, const std::string& device) {
  const MachineProfile* machine = request.history.profile;
  if (machine == nullptr) {
    return nullptr;
  }
  const auto it = std::ranges::find(machine->gpus, device, &GpuProfile::name);
  return it == machine->gpus.end() ? nullptr : &*it;
}

std::string gpu_assumption(const OpenRequest& request) {
  std::string text;
  for (const ChosenDevice& it : request.gpu.devices) {
    if (text.empty() && !request.gpu.is_processor() && !request.gpu.has_workers()) {
      text = GpuFigures(gpu_profile(request, it.info.name), it.info).assumption();
    }
  }
  return text;
}

std::vector<std::string> used_names(const OpenRequest& request, const Placement& placement) {
  std::vector<std::string> names;
  for (size_t i = 0; i < request.gpu.devices.size(); ++i) {
    if (placement.gpu->device_layers[i] > 0) {
      names.push_back(request.gpu.devices[i].info.name);
    }
  }
  return names;
}

std::optional<GpuProblem> gpu_problem(const OpenRequest& request, PlacementProblem problem) {
  if (!request.gpu.exists() || request.gpu.has_workers()) {
    return std::nullopt;
  }
  problem.gpu = GpuProblemBuilder(request, problem).build();
  const size_t most = std::min(problem.gpu->devices.size(), problem.gpu->layers.size());
  put_layers(*problem.gpu, layers_by_memory(problem, static_cast<uint32_t>(most)));
  return std::move(problem.gpu);
}

namespace {

// What a device takes by one choice was measured; by the others it is estimated, in proportion. `all` has a number for
// each of `choices`, and all devices' `measured` are what they take by choice number `made`.
template <class Choice>
void correct_part(const std::vector<Choice>& choices, size_t made, uint64_t measured, std::vector<uint64_t>& all) {
  const uint64_t estimate = all[made];
  for (size_t i = 0; i < all.size(); ++i) {
    if (i == made) {
      // Of buffers: with another KV cache they may take less.
      const bool keeps_most = std::is_same_v<Choice, UbatchChoice> && choices[i].measured;
      all[i] = keeps_most ? std::max(all[i], measured) : measured;
    } else if (!choices[i].measured) {
      all[i] = in_proportion(all[i], measured, estimate);
    }
  }
}

}  // namespace

void correct_gpu_estimates(GpuProblem& gpu, const Placement& placement, const ContextMemory& real) {
  const auto kv = std::ranges::find(gpu.kv, placement.kv_type, &KvChoice::type);
  const auto pass = std::ranges::find(gpu.ubatch, placement.ubatch, &UbatchChoice::tokens);
  for (size_t i = 0, used = 0; i < gpu.devices.size(); ++i) {
    GpuPart& device = gpu.devices[i];
    if (device.layers > 0) {
      const DeviceContextMemory& its = real.devices[used++];
      correct_part(gpu.kv, static_cast<size_t>(kv - gpu.kv.begin()), its.kv, device.kv);
      correct_part(gpu.ubatch, static_cast<size_t>(pass - gpu.ubatch.begin()), its.compute, device.compute);
    }
  }
  const KvChoice cache = *kv;
  const UbatchChoice its = *pass;
  const bool has_host = gpu.host.layers > 0;
  const uint64_t kv_in_ram = real.kv - real.device_kv;
  if (has_host) {
    correct_part(gpu.kv, static_cast<size_t>(kv - gpu.kv.begin()), kv_in_ram, gpu.host.kv);
  }
  const uint64_t of_layers = has_host ? real.kv : real.device_kv;
  for (KvChoice& it : gpu.kv) {
    if (it.type == cache.type) {
      it.bytes = of_layers;
      it.measured = true;
    } else if (!it.measured) {
      it.bytes = in_proportion(it.bytes, of_layers, cache.bytes);
    }
  }
  const uint64_t in_ram = (has_host ? 0 : kv_in_ram) + real.compute - real.device_compute;
  const uint64_t estimate = its.bytes + gpu.host_bytes(its);
  for (UbatchChoice& it : gpu.ubatch) {
    const uint64_t its_estimate = it.bytes + gpu.host_bytes(it);
    if (it.tokens == its.tokens) {  // with another KV cache it may take less
      it.bytes = it.measured ? std::max(it.bytes, in_ram) : in_ram;
      it.measured = true;
    } else if (!it.measured) {
      it.bytes = in_proportion(its_estimate, in_ram, estimate);
    }
    it.host_bytes = 0;  // all is in `bytes` now
  }
}

}  // namespace hypura
