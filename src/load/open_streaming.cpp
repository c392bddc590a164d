#include <algorithm>

#include "load/load_streamed.h"
#include "load/open_common.h"
#include "load/open_model.h"
#include "support/fail.h"

namespace hypura {

namespace {

// Those with slots.
std::vector<GpuRange> gpus_of(const OpenRequest& request, const Placement& placement) {
  std::vector<GpuRange> gpus;
  int64_t next = placement.gpu ? placement.gpu->host_layers : 0;
  for (size_t i = 0; placement.gpu && i < request.gpu.devices.size(); ++i) {
    if (const uint32_t layers = placement.gpu->device_layers[i]; layers > 0) {
      gpus.push_back({request.gpu.devices[i].info.name, next, next + layers});
      next += layers;
    }
  }
  return gpus;
}

// Up to where a context can be made.
Status open_weights(const OpenRequest& request, Mode mode, bool rows, Backing backing, OpenModel& parts) {
  const bool on_gpu = parts.plan.placement.gpu.has_value();  // which takes weights as they are in the model's own files
  auto reader = open_reader(request, request.mirrors, !on_gpu);
  if (!reader) {
    return propagate(reader.error());
  }
  parts.reader = std::move(*reader);
  const bool repacked = request.reads_repacked() && !on_gpu;
  const std::optional<GpuPlacement>& gpu = parts.plan.placement.gpu;
  StreamLayout layout = request.layout(streams_experts(mode), streams_dense(mode), repacked, rows,
                                       gpu ? std::optional(gpu->host_layers) : std::nullopt);
  const bool beside = request.gpu_layers() != nullptr;
  auto weights =
      beside ? StreamedWeights::create(request.model, *parts.reader, std::move(layout),
                                       request.gpu.has_workers() ? "" : request.names_with_layers().front(), true)
             : StreamedWeights::create_over(request.model, *parts.reader, std::move(layout),
                                            gpus_of(request, parts.plan.placement));
  if (!weights) {
    return propagate(weights.error());
  }
  parts.weights = std::move(*weights);
  return load_streamed(request, parts, backing);
}

// A resident model's passes take as much as one's whose dense weights are llama.cpp's own.
Mode smallest_mode(const PlacementProblem& problem) {
  return problem.modes.back() == Mode::kResident ? Mode::kDenseStreaming : problem.modes.back();
}

}  // namespace

PlacementProblem with_real_sizes(const OpenRequest& request, PlacementProblem problem) {
  OpenModel parts;
  const Status opened =
      open_weights(request, smallest_mode(problem), problem.tables.may_stream, Backing::kNothing, parts);
  const auto smallest =
      std::min_element(problem.ubatch.begin(), problem.ubatch.end(),
                       [](const UbatchChoice& a, const UbatchChoice& b) { return a.tokens < b.tokens; });
  Placement placement;
  placement.ubatch = smallest->tokens;
  for (size_t i = 0; opened && i < problem.kv.size(); ++i) {
    placement.kv_type = problem.kv[i].type;
    if (!make_context(request, parts, placement)) {
      break;
    }
    correct_estimates(problem, placement, context_needs(request, parts));
  }
  return problem;
}

Result<OpenModel> open_streaming(const OpenRequest& request, std::shared_ptr<Budget> budget, PlacementProblem problem,
                                 Placement placement) {
  OpenModel parts;
  parts.problem = std::move(problem);
  parts.plan.placement = std::move(placement);
  if (Status status = reserve_weights(std::move(budget), parts); !status) {
    return propagate(status.error());
  }
  if (Status status =
          open_weights(request, parts.plan.mode(), parts.plan.placement.tables.streamed, Backing::kMemory, parts);
      !status) {
    return propagate(status.error());
  }
  if (Status status = replan(request, parts); !status) {
    return propagate(status.error());
  }
  correct_weights(request, parts);
  parts.weights->set_threads(static_cast<int>(request.threads));
  if (parts.threadpool != nullptr) {
    parts.weights->set_threadpool(parts.threadpool.get());
  }
  if (Status status = parts.weights->allocate_caches(parts.plan.placement, request.overrides.read_ahead,
                                                     request.repacks() && !parts.plan.placement.gpu, *parts.budget);
      !status) {
    return propagate(status.error());
  }
  return parts;
}

}  // namespace hypura
