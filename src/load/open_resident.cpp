#include "llama/open/make_llama.h"
#include "llama/open/tensor_feed.h"
#include "load/open_common.h"
#include "load/open_model.h"
#include "support/fail.h"
#include "support/memory/huge_pages.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr uint64_t kWeightBuffer = 64 * kMiB;  // smaller mappings are left alone

// llama.cpp's own loader, with its own layouts, over a file of ours. From the model's own files: all of it is read but
// once.
Status load_whole(const OpenRequest& request, OpenModel& parts) {
  auto header = make_virtual_header(request.model);
  if (!header) {
    return propagate(header.error());
  }
  auto reader = open_reader(request, {}, false);
  if (!reader) {
    return propagate(reader.error());
  }
  // Out of what the process may take besides, little of which is in use yet.
  parts.memory.overhead.correct(kProcessOverhead - TensorFeed::kBytes);
  const auto staging = parts.budget->reserve(Purpose::kStaging, Tier::kRam, TensorFeed::kBytes);
  if (!staging) {
    return propagate(staging.error());
  }
  auto feed = TensorFeed::create(*header, **reader);
  if (!feed) {
    return propagate(feed.error());
  }
  const VirtualFile file(*header, feed->get());
  ModelParams params;
  params.mtp = request.options.draft.mtp;
  // Apple's GPUs would take all of it, also where the plan says that the processors are faster.
  params.host_only = request.options.gpu == "none" || (request.gpu.exists() && request.gpu_layers() == nullptr);
  params.devices = devices_of(request, parts);
  params.layers_of_devices = layers_of_devices(parts.plan.placement);
  give_layers(request, params, parts);
  params.repack = request.repacks() && params.devices.empty();
  params.progress = [&options = request.options](float share) {
    if (share == 0) {  // all buffers are allocated, and none is written
      advise_huge_pages_in_large_mappings(kWeightBuffer);
    }
    if (options.progress) {
      options.progress(share);
    }
  };
  auto model = make_llama_model(request.model, file, params);
  if (!model) {
    const auto& error = (*feed)->error();
    return propagate(error ? *error : model.error());
  }
  parts.llama = std::move(*model);
  parts.load_bytes = (*reader)->stats().demand_bytes;
  return {};
}

}  // namespace

Result<OpenModel> open_resident(const OpenRequest& request, std::shared_ptr<Budget> budget, PlacementProblem problem,
                                Placement placement) {
  OpenModel parts;
  parts.problem = std::move(problem);
  parts.plan.placement = std::move(placement);
  if (Status status = reserve_weights(std::move(budget), parts); !status) {
    return propagate(status.error());
  }
  if (Status status = load_whole(request, parts); !status) {
    return propagate(status.error());
  }
  if (Status status = replan(request, parts); !status) {
    return propagate(status.error());
  }
  correct_weights(request, parts);
  return parts;
}

}  // namespace hypura
