#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "backend/loading/placed_weights.h"
#include "backend/loading/weight_filler.h"
#include "llama/open/make_llama.h"
#include "llama/open/tensor_feed.h"
#include "load/open_common.h"
#include "load/open_model.h"
#include "machine/memory.h"
#include "support/fail.h"
#include "support/memory/huge_pages.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr uint64_t kWeightBuffer = 64 * kMiB;  // smaller mappings are left alone

using ExtentByName = std::map<std::string_view, Extent>;

ExtentByName extents_of(const Model& model) {
  ExtentByName extents;
  for (const auto* tensors : {&model.tensors, &model.unused}) {
    for (const TensorInfo& it : *tensors) {
      extents.emplace(it.name, it.extent);
    }
  }
  return extents;
}

// What ggml has placed, and what of the files goes there. Fails where llama.cpp has made of a tensor what is not the
// file's.
Result<std::vector<UnfilledWeight>> unfilled(const PlacedWeights& placed, const Model& model,
                                             const ExtentByName& extents) {
  std::vector<UnfilledWeight> weights;
  for (ggml_tensor* tensor : placed.tensors()) {
    const auto it = extents.find(ggml_get_name(tensor));
    if (it == extents.end() || it->second.length != ggml_nbytes(tensor)) {
      return fail(ErrorCode::kInternal, "{}: llama.cpp made a tensor '{}' that is not as in the file",
                  model.files.front().path.string(), ggml_get_name(tensor));
    }
    weights.push_back({tensor, it->second});
  }
  return weights;
}

// We read what ggml has placed; the loader gets what else there is.
void leave_out_placed(const PlacedWeights& placed, const ExtentByName& extents, VirtualHeader& header) {
  std::set<std::pair<uint32_t, uint64_t>> ours;  // by where they begin
  for (const ggml_tensor* tensor : placed.tensors()) {
    if (const auto it = extents.find(ggml_get_name(tensor)); it != extents.end()) {
      ours.emplace(it->second.file, it->second.offset);
    }
  }
  for (VirtualTensor& tensor : header.tensors) {
    tensor.given = tensor.given && !ours.contains({tensor.extent.file, tensor.extent.offset});
  }
}

ModelParams params_of(const OpenRequest& request, OpenModel& parts) {
  ModelParams params;
  params.mtp = request.options.draft.mtp;
  // Apple's GPUs would take all of it, also where the plan says that the processors are faster.
  params.host_only = request.options.gpu == "none" || (request.gpu.exists() && request.gpu_layers() == nullptr);
  params.devices = devices_of(request, parts);
  params.layers_of_devices = layers_of_devices(parts.plan.placement);
  give_layers(request, params, parts);
  params.repack = request.repacks() && params.devices.empty();
  return params;
}

// llama.cpp's own loader, with its own layouts, over a file of ours: where devices have weights it gets their data,
// else only the header. What is then placed in RAM is in `placed`, without its data.
Status make_model(const OpenRequest& request, OpenModel& parts, PlacedWeights& placed, const ExtentByName& extents,
                  Reader& reader) {
  auto header = make_virtual_header(request.model);
  if (!header) {
    return propagate(header.error());
  }
  auto feed = TensorFeed::create(*header, reader);
  if (!feed) {
    return propagate(feed.error());
  }
  leave_out_layers(request, *header);
  const VirtualFile file(*header, feed->get());
  ModelParams params = params_of(request, parts);
  params.placed = &placed;
  params.progress = [&](float share) {
    if (share == 0) {  // all buffers are allocated, and none is written
      advise_huge_pages_in_large_mappings(kWeightBuffer);
      leave_out_placed(placed, extents, *header);
    }
    if (request.options.progress && placed.tensors().empty()) {
      request.options.progress(share);
    }
  };
  if (Status status = name_layers(request); !status) {
    return status;
  }
  const RemoteLayers::Loading loading(request.gpu.workers);
  auto model = make_llama_model(request.model, file, params);
  if (!model) {
    const auto& error = (*feed)->error();
    return propagate(error ? *error : model.error());
  }
  parts.llama = std::move(*model);
  return {};
}

// From the model's own files: all of it is read but once.
Status load_whole(const OpenRequest& request, OpenModel& parts) {
  auto reader = open_reader(request, {}, false);
  if (!reader) {
    return propagate(reader.error());
  }
  // Out of what the process may take besides, little of which is in use yet. First for the loader, then for us.
  constexpr uint64_t kStaging = std::max(TensorFeed::kBytes, kFillingBytes);
  parts.memory.overhead.correct(kProcessOverhead - kStaging);
  const auto staging = parts.budget->reserve(Purpose::kStaging, Tier::kRam, kStaging);
  if (!staging) {
    return propagate(staging.error());
  }
  const ExtentByName extents = extents_of(request.model);
  PlacedWeights placed;
  Status status = make_model(request, parts, placed, extents, **reader);
  if (!status) {
    return status;
  }
  auto weights = unfilled(placed, request.model, extents);
  if (!weights) {
    return propagate(weights.error());
  }
  status = fill_weights(std::move(*weights), **reader, usable_cores(), request.options.progress);
  parts.load_bytes = (*reader)->stats().demand_bytes;
  return status;
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
