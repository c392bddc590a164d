#include "load/load_streamed.h"

#include <numeric>
#include <regex>
#include <set>
#include <string>
#include <utility>

#include "llama/open/make_llama.h"
#include "llama/open/tensor_feed.h"
#include "llama/open/virtual_file.h"
#include "load/open_common.h"
#include "support/fail.h"

namespace hypura {

namespace {

ModelParams params_of(const OpenRequest& request, Backing backing) {
  ModelParams params;
  params.mtp = request.options.draft.mtp;
  params.repack = false;  // streamed weights come as they are on disk, and all kernels should be the same
  params.allocate = backing == Backing::kMemory;
  return params;
}

Status load(const OpenRequest& request, OpenModel& parts, const VirtualFile& file, const ModelParams& params) {
  const RemoteLayers::Loading loading(request.gpu.workers);
  auto model = make_llama_model(request.model, file, params);
  if (!model) {
    return propagate(model.error());
  }
  parts.llama = std::move(*model);
  return parts.weights->finish_loading(request.options.progress);
}

Status load_for_cpu(const OpenRequest& request, OpenModel& parts, const VirtualHeader& header, Backing backing) {
  const VirtualFile file(header);
  ModelParams params = params_of(request, backing);
  params.host_only = true;
  params.buffers = {{parts.weights->layout().pattern.c_str(), parts.weights->stream_buffer_type()},
                    {".*", parts.weights->resident_buffer_type()}};
  return load(request, parts, file, params);
}

// What is read here. `asked`: StreamedWeights::asked_pattern().
void leave_out_own(const Model& model, const StreamLayout& layout, const std::string& asked, VirtualHeader& header) {
  std::set<std::pair<uint32_t, uint64_t>> own;  // by where they begin
  const auto begin = [](const Extent& extent) { return std::pair(extent.file, extent.offset); };
  for (const ExpertLayer& layer : layout.expert_layers) {
    for (const ExpertPart& part : layer.parts) {
      own.insert(begin(part.tensor->extent));
    }
  }
  for (const DenseItem& item : layout.dense) {
    own.insert(begin(item.tensor->extent));
  }
  for (const TableItem& table : layout.tables) {
    own.insert(begin(table.tensor->extent));
  }
  const std::regex pattern(asked);
  for (const TensorInfo& tensor : model.tensors) {
    if (!asked.empty() && std::regex_search(tensor.name, pattern)) {
      own.insert(begin(tensor.extent));
    }
  }
  for (VirtualTensor& tensor : header.tensors) {
    tensor.given = !own.contains(begin(tensor.extent));
  }
}

Status load_for_gpu(const OpenRequest& request, OpenModel& parts, VirtualHeader& header, Backing backing) {
  const std::string& asked = parts.weights->asked_pattern();
  leave_out_own(request.model, parts.weights->layout(), asked, header);
  leave_out_layers(request, header);
  if (Status status = backing == Backing::kMemory ? name_layers(request) : Status(); !status) {
    return status;
  }
  std::unique_ptr<TensorFeed> feed;
  Reservation staging;
  if (backing == Backing::kMemory) {
    // Out of what the process may take besides, little of which is in use yet.
    parts.memory.overhead.correct(kProcessOverhead - TensorFeed::kBytes);
    auto reserved = parts.budget->reserve(Purpose::kStaging, Tier::kRam, TensorFeed::kBytes);
    if (!reserved) {
      return propagate(reserved.error());
    }
    staging = std::move(*reserved);
    auto made = TensorFeed::create(header, *parts.reader);
    if (!made) {
      return propagate(made.error());
    }
    feed = std::move(*made);
  }
  const VirtualFile file(header, feed.get());
  ModelParams params = params_of(request, backing);
  params.devices = parts.weights->gpu_devices();
  params.layers_of_devices = layers_of_devices(parts.plan.placement);
  if (parts.plan.placement.gpu && parts.plan.placement.gpu->host_layers > 0) {
    params.device_layers = std::accumulate(params.layers_of_devices.begin(), params.layers_of_devices.end(), 0);
  }
  const std::vector<StreamBuffers> streams = parts.weights->stream_buffers();
  for (const StreamBuffers& it : streams) {
    params.buffers.push_back({it.pattern.c_str(), it.type});
  }
  if (!asked.empty()) {
    params.buffers.push_back({asked.c_str(), parts.weights->resident_buffer_type()});
  }
  give_layers(request, params, parts);
  Status status = load(request, parts, file, params);
  if (!status && feed != nullptr && feed->error()) {
    return propagate(*feed->error());
  }
  return status;
}

}  // namespace

Status load_streamed(const OpenRequest& request, OpenModel& parts, Backing backing) {
  auto header = make_virtual_header(
      request.model, backing == Backing::kMemory ? VirtualVocabulary::kWhole : VirtualVocabulary::kCounted);
  if (!header) {
    return propagate(header.error());
  }
  const bool on_gpu = !parts.weights->gpu_devices().empty() || request.gpu_layers() != nullptr;
  return on_gpu ? load_for_gpu(request, parts, *header, backing) : load_for_cpu(request, parts, *header, backing);
}

}  // namespace hypura
