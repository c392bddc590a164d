#include "plan/gpu_problem.h"

#include <algorithm>

#include "backend/gpu/device_sizes.h"
#include "backend/stream_layout.h"
#include "backend/streamed_weights.h"
#include "llama/open/memory_estimate.h"
#include "llama/open/mtp_layers.h"
#include "plan/gpu_figures.h"
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
  void add_weights();
  void add_passes();
  void add_groups();
  void add_speeds();

  // The processors' own device has no other memory than RAM, all of it counted as the device's.
  bool is_host() const { return request_.gpu.device.name == "CPU"; }

  const OpenRequest& request_;
  const PlacementProblem& problem_;
  StreamLayout layout_;
  GpuProblem gpu_;
};

GpuProblem GpuProblemBuilder::build() {
  gpu_.budget = request_.gpu.vram;
  add_ways();
  add_weights();
  add_passes();
  add_groups();
  add_speeds();
  return std::move(gpu_);
}

void GpuProblemBuilder::add_ways() {
  const PlanOverrides& overrides = request_.overrides;
  const auto allowed = [&](Mode mode) { return !overrides.mode || *overrides.mode == mode; };
  gpu_.may_stream = !layout_.expert_layers.empty() && allowed(Mode::kExpertStreaming);
  gpu_.may_hold_all =
      request_.options.resident && !request_.options.record_routing && !overrides.gpu && allowed(Mode::kResident);
  gpu_.required = request_.gpu.named;
  gpu_.in_ram = request_.gpu.device.computes_in_ram;
  gpu_.or_processors = !gpu_.may_stream;
  if (overrides.gpu) {
    gpu_.layer_slots = overrides.gpu->layer_slots;
    gpu_.stages = overrides.gpu->stages;
  }
}

// llama.cpp looks tokens up on the processors: the table stays in RAM, and where it is the output matrix as well the
// device has another.
void GpuProblemBuilder::add_weights() {
  const Model& model = request_.model;
  uint64_t table = 0;
  for (const TensorInfo& tensor : model.tensors) {
    table += tensor.role == TensorRole::kEmbedding ? tensor.extent.length : 0;
  }
  const bool has_output =
      std::ranges::any_of(model.tensors, [](const TensorInfo& tensor) { return tensor.role == TensorRole::kOutput; });
  gpu_.weights = layout_.resident_bytes + loaded_though_unused(model) + model.tensors.size() * kTensorPadding;
  gpu_.weights -= has_output && !is_host() ? table : 0;
  gpu_.host_weights = is_host() ? 0 : table;
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
    choice.expert_bytes = StreamedWeights::gpu_buffer_bytes(layout_, model, ubatch).in_ram;
    gpu_.other = std::max(gpu_.other, StreamedWeights::gpu_buffer_bytes(layout_, model, ubatch).on_device);
    gpu_.ubatch.push_back(choice);
    ubatch /= 2;
  } while (options.ubatch == 0 && ubatch >= least);
}

void GpuProblemBuilder::add_groups() {
  const std::vector<size_t> groups = groups_of_layers(layout_);
  for (size_t i = 0; i < groups.size(); ++i) {
    const DeviceSizes sizes = device_sizes(request_.gpu.device.name, layout_.expert_layers[i]);
    if (groups[i] == gpu_.groups.size()) {
      gpu_.groups.push_back({sizes.expert_bytes, sizes.layer_bytes});
    }
    GpuGroup& group = gpu_.groups[groups[i]];
    group.layer_bytes = std::max(group.layer_bytes, sizes.layer_bytes);
  }
}

void GpuProblemBuilder::add_speeds() {
  if (is_host()) {
    gpu_.speeds.assign(gpu_.ubatch.size(), speeds_of_processors(problem_));
    return;
  }
  const GpuFigures figures(gpu_profile(request_), request_.gpu.device, request_.gpu.cut_seconds);
  for (const UbatchChoice& pass : gpu_.ubatch) {
    gpu_.speeds.push_back(gpu_speeds(figures, request_, problem_, pass.tokens));
  }
  if (const std::string type = type_without_kernel(figures, request_.model); !type.empty()) {
    gpu_.obstacle =
        fmt::format("{} has no kernels for the model's matrices of type {}", request_.gpu.device.name, type);
    gpu_.or_processors = false;
  }
}

}  // namespace

const GpuProfile* gpu_profile(const OpenRequest& request) {
  const MachineProfile* machine = request.history.profile;
  if (machine == nullptr) {
    return nullptr;
  }
  const auto it = std::ranges::find(machine->gpus, request.gpu.device.name, &GpuProfile::name);
  return it == machine->gpus.end() ? nullptr : &*it;
}

std::string gpu_assumption(const OpenRequest& request) {
  const bool computes = request.gpu.exists() && request.gpu.device.name != "CPU";
  return computes ? GpuFigures(gpu_profile(request), request.gpu.device).assumption() : std::string();
}

std::optional<GpuProblem> gpu_problem(const OpenRequest& request, const PlacementProblem& problem) {
  if (!request.gpu.exists()) {
    return std::nullopt;
  }
  return GpuProblemBuilder(request, problem).build();
}

void correct_gpu_estimates(GpuProblem& gpu, const Placement& placement, const ContextMemory& real) {
  const auto kv = std::ranges::find(gpu.kv, placement.kv_type, &KvChoice::type);
  const auto pass = std::ranges::find(gpu.ubatch, placement.ubatch, &UbatchChoice::tokens);
  const KvChoice cache = *kv;
  const UbatchChoice its = *pass;
  const uint64_t in_ram = real.kv - real.device_kv + real.compute - real.device_compute;
  for (KvChoice& it : gpu.kv) {
    if (it.type == cache.type) {
      it.bytes = real.device_kv;
      it.measured = true;
    } else if (!it.measured) {
      it.bytes = in_proportion(it.bytes, real.device_kv, cache.bytes);
    }
  }
  for (UbatchChoice& it : gpu.ubatch) {
    if (it.tokens == its.tokens) {  // with another KV cache it may take less
      it.bytes = it.measured ? std::max(it.bytes, in_ram) : in_ram;
      it.device_bytes = it.measured ? std::max(it.device_bytes, real.device_compute) : real.device_compute;
      it.measured = true;
    } else if (!it.measured) {
      it.bytes = in_proportion(it.bytes, in_ram, its.bytes);
      it.device_bytes = in_proportion(it.device_bytes, real.device_compute, its.device_bytes);
    }
  }
}

}  // namespace hypura
