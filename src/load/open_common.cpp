#include "load/open_common.h"

#include <algorithm>

#include "draft/mtp_head.h"
#include "llama/mtp_context.h"
#include "llama/vocabulary.h"
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

Status give_layers(const OpenRequest& request, ModelParams& params, OpenModel& parts) {
  const GpuLayers* layers = request.gpu_layers();
  if (layers == nullptr) {
    return {};
  }
  auto device = device_named(request.overrides.gpu->device);
  if (!device) {
    return propagate(device.error());
  }
  params.device = *device;
  params.device_layers = static_cast<int32_t>(layers->count);
  if (!layers->experts) {
    params.buffers.push_back({"exps\\.", host_memory()});  // behind what is streamed of them
  }
  parts.gpu_memory = own_memory(*device);
  return {};
}

namespace {

// The MTP layers' context holds as many tokens as the model's, and computes as many at once: their experts are then
// read once for each pass of a prompt.
Status make_mtp_context(const OpenRequest& request, ContextParams params, OpenModel& parts) {
  params.mtp = true;
  params.outputs = request.sequences;
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
  params.sequences = request.sequences;
  params.pass = placement.ubatch;
  params.outputs = request.outputs(placement.ubatch);
  params.threads = request.threads;
  params.kv_type = placement.kv_type;
  parts.mtp.reset();
  parts.context.reset();  // before the next one: their buffers must not be held at once
  parts.context = make_llama_context(*parts.llama, params);
  if (parts.context == nullptr) {
    return fail(ErrorCode::kBudget, "llama.cpp could not make a context of {} tokens with a KV cache of type {}: {}",
                request.cells(), to_string(placement.kv_type), take_llama_error());
  }
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
  return rows > request.sequences ? ((rows - request.sequences) * vocabulary + rows * width) * sizeof(float) : 0;
}

// What drafting by MTP layers takes: their context and its output, the states that passes give besides logits, and what
// is kept of them.
ContextMemory mtp_memory(const OpenRequest& request, const OpenModel& parts) {
  if (parts.mtp == nullptr) {
    return {};
  }
  ContextMemory memory = context_memory(*parts.mtp, parts.gpu_memory);
  const auto vocabulary = static_cast<uint64_t>(Vocabulary(*parts.llama).size());
  const uint64_t width = embedding_width(*parts.llama);
  memory.compute += (request.sequences * (vocabulary + width) + parts.ubatch * width) * sizeof(float);
  memory.compute += MtpHead::bytes(parts.ubatch, request.sequences, width);
  return memory;
}

}  // namespace

ContextMemory context_needs(const OpenRequest& request, const OpenModel& parts) {
  const ContextMemory memory = context_memory(*parts.context, parts.gpu_memory);
  const ContextMemory mtp = mtp_memory(request, parts);
  return {memory.kv + mtp.kv, memory.compute + later_output_bytes(request, parts) + mtp.compute};
}

namespace {

// In the place of what was reserved before.
Status reserve_bytes(OpenModel& parts, Purpose purpose, uint64_t bytes, Reservation& reservation) {
  reservation.release();
  auto reserved = parts.budget->reserve(purpose, Tier::kRam, bytes);
  if (!reserved) {
    return propagate(reserved.error());
  }
  reservation = std::move(*reserved);
  return {};
}

// By the estimates of the placement; the context that was made before is still there, and goes before the next is made.
Status reserve_context(OpenModel& parts) {
  const Placement& placement = parts.plan.placement;
  const uint64_t kv = parts.problem.kv_choice(placement).bytes;
  const uint64_t compute = parts.problem.ubatch_choice(placement).bytes;
  Status status = reserve_bytes(parts, Purpose::kKvCache, kv, parts.memory.kv);
  return status ? reserve_bytes(parts, Purpose::kComputeBuffers, compute, parts.memory.compute) : status;
}

}  // namespace

Status reserve_weights(std::shared_ptr<Budget> budget, OpenModel& parts) {
  parts.budget = std::move(budget);
  uint64_t weights = 0;
  for (const LedgerLine& line : make_ledger(parts.problem, parts.plan.placement)) {
    const bool stays = line.purpose == Purpose::kWeights || line.purpose == Purpose::kUnusedWeights ||
                       line.purpose == Purpose::kResidentWeights;
    weights += stays ? line.bytes : 0;
  }
  const Purpose purpose = parts.plan.mode() == Mode::kResident ? Purpose::kWeights : Purpose::kResidentWeights;
  ModelMemory& memory = parts.memory;
  Status status = reserve_bytes(parts, Purpose::kProcessOverhead, kProcessOverhead, memory.overhead);
  if (status) {
    status = reserve_bytes(parts, purpose, weights, memory.weights);
  }
  return status ? reserve_bytes(parts, Purpose::kVocabulary, parts.problem.other, memory.vocabulary) : status;
}

void correct_weights(OpenModel& parts) {
  if (parts.weights != nullptr && parts.weights->gpu_device() != nullptr) {
    parts.memory.overhead.correct(kProcessOverhead);  // the GPU's buffers are not told from RAM yet: as planned
    return;
  }
  const auto streamed = parts.weights != nullptr ? parts.weights->stream_buffer_type() : nullptr;
  const uint64_t planned = parts.memory.weights.bytes();
  const uint64_t real = weight_memory(*parts.context, {streamed, parts.gpu_memory});
  parts.memory.weights.correct(real);
  parts.memory.overhead.correct(kProcessOverhead - std::min(kProcessOverhead, real - std::min(real, planned)));
}

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
    parts.memory.kv.correct(real.kv);
    parts.memory.compute.correct(real.compute);
    correct_estimates(parts.problem, placement, real);
    if (made == kMostContexts) {  // no more changes of what is made
      parts.problem.ubatch = {parts.problem.ubatch_choice(placement)};
      parts.problem.kv = {parts.problem.kv_choice(placement)};
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
