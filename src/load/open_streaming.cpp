#include <algorithm>

#include "llama/trial_load.h"
#include "llama/virtual_file.h"
#include "load/open_common.h"
#include "load/open_engine.h"
#include "support/fail.h"

namespace hypura {

namespace {

// Without memory: llama.cpp makes the tensors and allocates nothing for them.
enum class Backing { kMemory, kNothing };

Status load(const OpenRequest& request, OpenParts& parts, Backing backing) {
  auto header = make_virtual_header(
      request.model, backing == Backing::kMemory ? VirtualVocabulary::kWhole : VirtualVocabulary::kCounted);
  if (!header) {
    return propagate(header.error());
  }
  const VirtualFile file(*header);
  const llama_model_tensor_buft_override overrides[] = {
      {parts.weights->layout().pattern.c_str(), parts.weights->stream_buffer_type()},
      {".*", parts.weights->resident_buffer_type()},
      {nullptr, nullptr}};
  ggml_backend_dev_t no_devices[] = {nullptr};
  llama_model_params params = llama_model_default_params();
  params.devices = no_devices;
  params.n_gpu_layers = 0;
  params.load_mode = LLAMA_LOAD_MODE_NONE;
  params.no_alloc = backing == Backing::kNothing;
  params.tensor_buft_overrides = overrides;
  params.load_mtp = request.options.draft.mtp;
  params.use_extra_bufts = false;  // streamed weights come as they are on disk, and all kernels should be the same
  params.progress_callback = [](float /*share*/, void* /*data*/) { return true; };
  take_llama_error();
  parts.llama.reset(llama_model_load_from_file_ptr(file.file(), params));
  if (parts.llama == nullptr) {
    return load_failure(request.model);
  }
  return parts.weights->finish_loading(request.options.progress);
}

ReadAhead read_ahead_of(const std::string& name) {
  return name == "none"           ? ReadAhead::kNone
         : name == "router"       ? ReadAhead::kRouter
         : name == "coactivation" ? ReadAhead::kCoactivation
                                  : ReadAhead::kAuto;
}

CacheSizes cache_sizes(const OpenParts& parts, const Chosen& chosen, const OpenRequest& request) {
  const Placement& placement = chosen.placement();
  CacheSizes sizes;
  sizes.expert_slots = placement.slots;
  sizes.spare_slots = placement.spare_slots;
  if (streams_experts(placement.mode)) {
    sizes.layer_slots = layer_slots(parts.weights->layout(), chosen.problem, placement);
  }
  sizes.pinned = placement.pinned;
  sizes.ring_bytes = placement.ring_bytes;
  sizes.max_rows = parts.ubatch;
  sizes.read_ahead = read_ahead_of(request.overrides.read_ahead);
  sizes.repack = request.options.repack;
  return sizes;
}

// Up to where a context can be made.
Result<OpenParts> open_weights(const OpenRequest& request, Mode mode, Backing backing) {
  OpenParts parts;
  auto reader = open_reader(request, request.mirrors, true);
  if (!reader) {
    return propagate(reader.error());
  }
  parts.reader = std::move(*reader);
  StreamLayout layout = lay_out(request.model, streams_experts(mode), streams_dense(mode), request.reads_packed());
  auto weights = StreamedWeights::create(request.model, *parts.reader, std::move(layout));
  if (!weights) {
    return propagate(weights.error());
  }
  parts.weights = std::move(*weights);
  if (Status status = load(request, parts, backing); !status) {
    return propagate(status.error());
  }
  return parts;
}

// A resident model's passes take as much as one's whose dense weights are llama.cpp's own.
Mode smallest_mode(const PlacementProblem& problem) {
  return problem.modes.back() == Mode::kResident ? Mode::kDenseStreaming : problem.modes.back();
}

}  // namespace

PlacementProblem with_real_sizes(const OpenRequest& request, PlacementProblem problem) {
  auto parts = open_weights(request, smallest_mode(problem), Backing::kNothing);
  const auto smallest =
      std::min_element(problem.ubatch.begin(), problem.ubatch.end(),
                       [](const UbatchChoice& a, const UbatchChoice& b) { return a.tokens < b.tokens; });
  Placement placement;
  placement.ubatch = static_cast<uint32_t>(smallest - problem.ubatch.begin());
  for (placement.kv = 0; parts && placement.kv < problem.kv.size(); ++placement.kv) {
    if (!make_context(request, *parts, smallest->tokens, problem.kv[placement.kv].name)) {
      break;
    }
    const ContextNeeds needs = context_needs(request, *parts);
    correct_estimates(problem, placement, needs.kv, needs.compute);
  }
  return problem;
}

Result<OpenParts> open_streaming(const OpenRequest& request, Chosen chosen) {
  auto opened = open_weights(request, chosen.placement().mode, Backing::kMemory);
  if (!opened) {
    return propagate(opened.error());
  }
  OpenParts parts = std::move(*opened);
  if (Status status = settle(request, parts, chosen); !status) {
    return propagate(status.error());
  }
  parts.weights->set_threads(static_cast<int>(request.threads));
  if (parts.threadpool != nullptr) {
    parts.weights->set_threadpool(parts.threadpool.get());
  }
  if (Status status = parts.weights->allocate_caches(cache_sizes(parts, chosen, request)); !status) {
    return propagate(status.error());
  }
  parts.ledger = make_ledger(chosen);
  parts.chosen = std::move(chosen);
  return parts;
}

}  // namespace hypura
