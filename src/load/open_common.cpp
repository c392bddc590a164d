#include "load/open_common.h"

#include <algorithm>
#include <initializer_list>
#include <set>
#include <utility>

#include "backend/gpu/devices/gpu_list.h"
#include "backend/remote_layers.h"
#include "draft/mtp_head.h"
#include "llama/llama_kv_states.h"
#include "llama/mtp_context.h"
#include "llama/vocabulary.h"
#include "placement/gpu_cost.h"
#include "placement/gpu_devices.h"
#include "plan/gpu_problem.h"
#include "plan/gpu_share.h"
#include "support/fail.h"
#include "support/log.h"

namespace hypura {

OpenModel::~OpenModel() {
  mtp.reset();
  context.reset();
  llama.reset();
  weights.reset();
}

Result<std::unique_ptr<Reader>> open_reader(const OpenRequest& request, const std::vector<Mirror>& mirrors,
                                            bool repacked) {
  std::vector<std::filesystem::path> paths;
  if (repacked) {
    paths = request.repacked.files;
  }
  for (const ModelFile& file : request.model.files) {
    paths.push_back(file.path);
  }
  ReaderOptions options;
  options.direct = request.options.direct_io;
  auto reader = Reader::open(paths, options, mirrors);
  if (reader && !(*reader)->notice().empty()) {
    logger().warn("{}", (*reader)->notice());
  }
  return reader;
}

void give_layers(const OpenRequest& request, ModelParams& params, OpenModel& parts) {
  const GpuLayers* layers = request.gpu_layers();
  if (layers == nullptr) {
    return;
  }
  if (request.gpu.has_workers()) {
    for (const size_t worker : request.devices_with_layers()) {
      params.devices.push_back(request.gpu.workers[worker]->device());
    }
    parts.layers_devices = params.devices;
    params.layers_of_devices = request.layers_of_devices();
    std::erase(params.layers_of_devices, 0U);
    params.device_layers = static_cast<int32_t>(layers->count);
    params.buffers.push_back({"^(?!blk\\.|rope_)", host_memory()});  // all that is no layer's
    return;
  }
  for (const std::string& name : request.names_with_layers()) {
    params.devices.push_back(gpu_by_name(name));
  }
  params.layers_of_devices = request.layers_of_devices();
  std::erase(params.layers_of_devices, 0U);
  params.device_layers = static_cast<int32_t>(layers->count);
  if (!layers->experts) {
    params.buffers.push_back({"exps\\.", host_memory()});  // behind what is streamed of them
  }
  const bool own = has_own_memory(*params.devices.front());
  parts.layers_devices = own ? params.devices : std::vector<ggml_backend_device*>();
}

void leave_out_layers(const OpenRequest& request, VirtualHeader& header) {
  const GpuLayers* layers = request.gpu_layers();
  if (layers == nullptr || !request.gpu.has_workers()) {
    return;
  }
  std::set<std::pair<uint32_t, uint64_t>> remote;  // by where they begin
  for (const TensorInfo& tensor : request.model.tensors) {
    if (on_gpu(request.model, *layers, tensor)) {
      remote.emplace(tensor.extent.file, tensor.extent.offset);
    }
  }
  for (VirtualTensor& tensor : header.tensors) {
    tensor.given = tensor.given && !remote.contains({tensor.extent.file, tensor.extent.offset});
  }
}

Status name_layers(const OpenRequest& request) {
  const GpuLayers* layers = request.gpu_layers();
  if (layers == nullptr || !request.gpu.has_workers()) {
    return {};
  }
  const std::vector<uint32_t> counts = request.layers_of_devices();
  const auto all = static_cast<uint32_t>(request.model.layers);
  uint32_t first = all + 1 - layers->count;
  for (size_t i = 0; i < counts.size(); ++i) {
    const uint32_t count = std::min(counts[i], all - first);  // without the output
    if (Status status = count > 0 ? request.gpu.workers[i]->keep(first, count) : Status(); !status) {
      return propagate(status.error(), request.gpu.workers[i]->name());
    }
    first += count;
  }
  return {};
}

namespace {

// The MTP layers' context holds as many tokens as the model's, and computes as many at once: their experts are then
// read once for each pass of a prompt.
Status make_mtp_context(const OpenRequest& request, ContextParams params, OpenModel& parts) {
  params.mtp = true;
  params.cells += MtpHead::cells_besides(params.sequences);
  params.outputs = params.sequences;
  parts.mtp = make_llama_context(*parts.llama, params);
  if (parts.mtp == nullptr) {
    return fail(ErrorCode::kBudget, "llama.cpp could not make a context of {} tokens for the model's MTP layers: {}",
                request.cells(), take_llama_error());
  }
  attach_threadpool(*parts.mtp, parts.threadpool.get());
  give_states(*parts.context, *parts.mtp);
  return {};
}

}  // namespace

Status make_context(const OpenRequest& request, OpenModel& parts, const Placement& placement) {
  ContextParams params;
  params.cells = request.cells();
  params.sequences =
      request.sequences +
      (shares_cells(*parts.llama) ? std::min(request.options.idle_sequences, most_sequences() - request.sequences) : 0);
  params.pass = placement.ubatch;
  params.threads = request.threads;
  params.kv_type = placement.kv_type;
  parts.sequences = params.sequences;
  // Behind those, for what passes between the context and the store beyond it.
  params.sequences +=
      request.spare_sequence && needs_spare(*parts.llama) && params.sequences < most_sequences() ? 1 : 0;
  params.outputs = std::max(request.outputs(placement.ubatch), params.sequences);  // llama.cpp wants one for each
  parts.mtp.reset();
  parts.context.reset();  // before the next one: their buffers must not be held at once
  parts.context = make_llama_context(*parts.llama, params);
  if (parts.context == nullptr) {
    return fail(ErrorCode::kBudget, "llama.cpp could not make a context of {} tokens with a KV cache of type {}: {}",
                request.cells(), to_string(placement.kv_type), take_llama_error());
  }
  params.sequences = parts.sequences;
  parts.ubatch = pass_tokens(*parts.context);  // lowered when it was more than the context
  if (parts.threadpool == nullptr) {
    parts.threadpool = make_threadpool(request.threads);
  }
  attach_threadpool(*parts.context, parts.threadpool.get());
  return request.options.draft.mtp ? make_mtp_context(request, params, parts) : Status();
}

namespace {

// The output buffer has a row for each sequence at first, and grows when a pass gives more.
uint64_t later_output_bytes(const OpenRequest& request, const OpenModel& parts) {
  const auto vocabulary = static_cast<uint64_t>(Vocabulary(*parts.llama).size());
  const uint64_t width = embedding_width(*parts.llama);
  const uint64_t rows = request.outputs(parts.ubatch);
  return rows > parts.sequences ? ((rows - parts.sequences) * vocabulary + rows * width) * sizeof(float) : 0;
}

// A GPU with layers of its own on the machine's memory has its part of the KV cache by what is planned.
ContextMemory memory_of(const OpenRequest& request, const OpenModel& parts, const llama_context& context) {
  const GpuLayers* layers = request.gpu_layers();
  if (layers == nullptr) {
    return context_memory(context, devices_of(request, parts));
  }
  ContextMemory memory = context_memory(context, parts.layers_devices);
  if (parts.layers_devices.empty()) {
    const double kept = kv_share_before_gpu(request.model, *layers);
    memory.device_kv = memory.kv - static_cast<uint64_t>(kept * static_cast<double>(memory.kv));
  }
  return memory;
}

// What drafting by MTP layers takes: their context and its output, the states that passes give besides logits, and what
// is kept of them.
ContextMemory mtp_memory(const OpenRequest& request, const OpenModel& parts) {
  if (parts.mtp == nullptr) {
    return {};
  }
  ContextMemory memory = memory_of(request, parts, *parts.mtp);
  const auto vocabulary = static_cast<uint64_t>(Vocabulary(*parts.llama).size());
  const uint64_t width = embedding_width(*parts.llama);
  memory.compute += (parts.sequences * (vocabulary + width) + parts.ubatch * width) * sizeof(float);
  memory.compute += MtpHead::bytes(parts.ubatch, parts.sequences, width);
  return memory;
}

}  // namespace

ContextMemory context_needs(const OpenRequest& request, const OpenModel& parts) {
  ContextMemory memory = memory_of(request, parts, *parts.context);
  const ContextMemory mtp = mtp_memory(request, parts);
  memory.kv += mtp.kv;
  memory.compute += later_output_bytes(request, parts) + mtp.compute;
  memory.device_kv += mtp.device_kv;
  memory.device_compute += mtp.device_compute;
  for (size_t i = 0; i < mtp.devices.size(); ++i) {
    memory.devices[i].kv += mtp.devices[i].kv;
    memory.devices[i].compute += mtp.devices[i].compute;
  }
  return memory;
}

namespace {

// In the place of what was reserved before.
struct Wanted {
  LedgerLine line;
  Reservation& reservation;
};

// A line of no bytes makes none, but for buffers in RAM: what those take may show only later.
Status reserve_lines(OpenModel& parts, std::initializer_list<Wanted> all) {
  for (const Wanted& it : all) {
    it.reservation.release();
    const bool may_grow = it.line.purpose == Purpose::kComputeBuffers && it.line.tier == Tier::kRam;
    if (it.line.bytes == 0 && !may_grow) {
      continue;
    }
    auto reserved = parts.budget->reserve(it.line.purpose, it.line.tier, it.line.bytes);
    if (!reserved) {
      return propagate(reserved.error());
    }
    it.reservation = std::move(*reserved);
  }
  return {};
}

// On a worker, which sees to its memory itself.
bool has_remote_layers(const OpenModel& parts) {
  return parts.problem.split && parts.problem.split->remote;
}

// By the estimates of the placement; the context that was made before is still there, and goes before the next is made.
Status reserve_context(OpenModel& parts) {
  const Placement& placement = parts.plan.placement;
  const uint64_t kv = parts.problem.kv_choice(placement).bytes;
  const UbatchChoice& pass = parts.problem.ubatch_choice(placement);
  ModelMemory& memory = parts.memory;
  const bool on_gpu = placement.gpu.has_value();
  const bool remote = has_remote_layers(parts);
  const uint64_t of_layers = remote ? 0 : parts.problem.kv_choice(placement).device_bytes;
  const uint64_t host_kv = on_gpu ? parts.problem.gpu->host_kv(placement.kv_type) : 0;
  const uint64_t host_compute = on_gpu ? parts.problem.gpu->host_bytes(pass) : 0;
  const uint64_t compute = on_gpu ? gpu_compute_bytes(*parts.problem.gpu, placement) : (remote ? 0 : pass.device_bytes);
  const uint64_t device_kv = on_gpu ? kv - host_kv : of_layers;
  return reserve_lines(parts, {{{Purpose::kKvCache, on_gpu ? host_kv : kv}, memory.kv},
                               {{Purpose::kKvCache, device_kv, {}, Tier::kDevice}, memory.device_kv},
                               {{Purpose::kComputeBuffers, pass.bytes + host_compute}, memory.compute},
                               {{Purpose::kComputeBuffers, compute, {}, Tier::kDevice}, memory.device_compute}});
}

}  // namespace

Status reserve_weights(std::shared_ptr<Budget> budget, OpenModel& parts) {
  parts.budget = std::move(budget);
  uint64_t weights = 0;
  uint64_t on_device = 0;
  for (const LedgerLine& line : make_ledger(parts.problem, parts.plan.placement)) {
    const bool stays = line.purpose == Purpose::kWeights || line.purpose == Purpose::kUnusedWeights ||
                       line.purpose == Purpose::kResidentWeights;
    (line.tier == Tier::kDevice ? on_device : weights) += stays ? line.bytes : 0;
  }
  const Purpose purpose = parts.plan.mode() == Mode::kResident ? Purpose::kWeights : Purpose::kResidentWeights;
  ModelMemory& memory = parts.memory;
  return reserve_lines(parts, {{{Purpose::kProcessOverhead, kProcessOverhead}, memory.overhead},
                               {{purpose, weights}, memory.weights},
                               {{purpose, on_device, {}, Tier::kDevice}, memory.device_weights},
                               {{Purpose::kVocabulary, parts.problem.other}, memory.vocabulary}});
}

std::vector<ggml_backend_device*> devices_of(const OpenRequest& request, const OpenModel& parts) {
  std::vector<ggml_backend_device*> devices;
  if (parts.plan.placement.gpu) {
    for (const std::string& name : used_names(request, parts.plan.placement)) {
      devices.push_back(gpu_by_name(name));
    }
  }
  return devices;
}

std::vector<uint32_t> layers_of_devices(const Placement& placement) {
  std::vector<uint32_t> layers = placement.gpu ? placement.gpu->device_layers : std::vector<uint32_t>();
  std::erase(layers, 0U);
  return layers;
}

namespace {

// Bytes of the weights in GPUs' memory; by what is planned where that is the machine's and the GPU has some layers.
uint64_t real_device_weights(const OpenRequest& request, const OpenModel& parts) {
  std::vector<ggml_backend_device*> devices = devices_of(request, parts);
  if (devices.empty()) {
    devices = parts.layers_devices;
  }
  uint64_t bytes = 0;
  for (ggml_backend_device* device : devices) {
    bytes += weight_memory_on(*parts.context, *device);
  }
  if (!devices.empty()) {
    return bytes;
  }
  return request.gpu_layers() != nullptr ? gpu_weight_bytes(request.model, *request.gpu_layers()) : 0;
}

// Bytes in RAM of the weights that stay.
uint64_t real_weights(const OpenRequest& request, const OpenModel& parts) {
  const bool streams = parts.weights != nullptr;
  if (!parts.plan.placement.gpu && request.gpu_layers() == nullptr) {
    return weight_memory(*parts.context, streams ? parts.weights->resident_buffer_type() : nullptr);
  }
  uint64_t streamed = 0;
  for (const StreamBuffers& it : streams ? parts.weights->stream_buffers() : std::vector<StreamBuffers>()) {
    streamed += weight_memory(*parts.context, it.type);
  }
  const uint64_t all = weight_memory(*parts.context, nullptr) - streamed;
  return all - std::min(all, real_device_weights(request, parts));
}

}  // namespace

void correct_weights(const OpenRequest& request, OpenModel& parts) {
  parts.memory.device_weights.correct(has_remote_layers(parts) ? 0 : real_device_weights(request, parts));
  const uint64_t planned = parts.memory.weights.bytes();
  const uint64_t real = real_weights(request, parts);
  parts.memory.weights.correct(real);
  parts.memory.overhead.correct(kProcessOverhead - std::min(kProcessOverhead, real - std::min(real, planned)));
}

namespace {

// With a GPU what little of a KV cache is in RAM counts with the buffers there.
void correct_context(OpenModel& parts, const ContextMemory& real) {
  ModelMemory& memory = parts.memory;
  const bool all_on_gpu = parts.plan.placement.gpu && parts.plan.placement.gpu->host_layers == 0;
  const uint64_t kv = real.kv - real.device_kv;
  const uint64_t compute = real.compute - real.device_compute;
  memory.kv.correct(all_on_gpu ? 0 : kv);
  memory.compute.correct(all_on_gpu ? kv + compute : compute);
  memory.device_kv.correct(has_remote_layers(parts) ? 0 : real.device_kv);
  memory.device_compute.correct(has_remote_layers(parts) ? 0 : real.device_compute);
}

// On GPUs that have some layers, whole.
void put_in_layers(const OpenRequest& request, const OpenModel& parts, GpuSplitPart& split) {
  const std::vector<size_t> with_layers = request.devices_with_layers();
  for (size_t i = 0; i < with_layers.size(); ++i) {
    split.devices[with_layers[i]].weights = parts.layers_devices.empty()
                                                ? real_device_weights(request, parts)
                                                : weight_memory_on(*parts.context, *parts.layers_devices[i]);
  }
}

// On a device, of what slots, KV cache and buffers are to leave room for.
void put_in_weights(const OpenRequest& request, OpenModel& parts) {
  const std::vector<ggml_backend_device*> devices = devices_of(request, parts);
  for (size_t i = 0, used = 0; used < devices.size(); ++i) {
    GpuPart& device = parts.problem.gpu->devices[i];
    if (device.layers > 0) {
      const uint64_t experts = parts.plan.placement.experts.streamed ? 0 : gpu_expert_bytes(parts.problem, device);
      const uint64_t real = weight_memory_on(*parts.context, *devices[used++]);
      device.weights = real - std::min(real, experts);
    }
  }
  if (parts.problem.split) {
    put_in_layers(request, parts, *parts.problem.split);
  }
}

void keep_choices(PlacementProblem& problem, const Placement& placement) {
  if (placement.gpu) {
    keep_gpu_choices(*problem.gpu, placement);
    return;
  }
  problem.ubatch = {problem.ubatch_choice(placement)};
  problem.kv = {problem.kv_choice(placement)};
}

}  // namespace

Status replan(const OpenRequest& request, OpenModel& parts) {
  constexpr int kMostContexts = 4;
  Placement& placement = parts.plan.placement;
  for (int made = 1;; ++made) {
    const uint32_t ubatch = placement.ubatch;
    const KvType kv = placement.kv_type;
    if (Status status = reserve_context(parts); !status) {
      return status;
    }
    if (Status status = make_context(request, parts, placement); !status) {
      return status;
    }
    const ContextMemory mtp = mtp_memory(request, parts);
    parts.mtp_bytes = mtp.kv + mtp.compute;
    const ContextMemory real = context_needs(request, parts);
    correct_context(parts, real);
    put_in_weights(request, parts);
    correct_estimates(parts.problem, placement, real);
    if (made == kMostContexts) {  // no more changes of what is made
      keep_choices(parts.problem, placement);
    }
    auto again = place(parts.problem);
    if (!again) {
      return fail(ErrorCode::kBudget, "{}; with this context it covers:{}", again.error().message,
                  ledger_text(make_ledger(parts.problem, placement)));
    }
    placement = std::move(*again);
    if (placement.ubatch == ubatch && placement.kv_type == kv) {
      return {};
    }
  }
}

}  // namespace hypura
