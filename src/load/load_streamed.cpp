#include "load/load_streamed.h"

#include <algorithm>

#include "llama/open/tensor_feed.h"
#include "llama/open/trial_load.h"
#include "llama/open/virtual_file.h"
#include "support/fail.h"

namespace hypura {

namespace {

llama_model_params params_of(const OpenRequest& request, Backing backing) {
  llama_model_params params = llama_model_default_params();
  params.load_mode = LLAMA_LOAD_MODE_NONE;
  params.no_alloc = backing == Backing::kNothing;
  params.load_mtp = request.options.draft.mtp;
  params.use_extra_bufts = false;  // streamed weights come as they are on disk, and all kernels should be the same
  params.progress_callback = [](float /*share*/, void* /*data*/) { return true; };
  return params;
}

Status load(const OpenRequest& request, OpenModel& parts, const VirtualFile& file, const llama_model_params& params) {
  take_llama_error();
  parts.llama.reset(llama_model_load_from_file_ptr(file.file(), params));
  if (parts.llama == nullptr) {
    return load_failure(request.model);
  }
  return parts.weights->finish_loading(request.options.progress);
}

Status load_for_cpu(const OpenRequest& request, OpenModel& parts, const VirtualHeader& header, Backing backing) {
  const VirtualFile file(header);
  const llama_model_tensor_buft_override overrides[] = {
      {parts.weights->layout().pattern.c_str(), parts.weights->stream_buffer_type()},
      {".*", parts.weights->resident_buffer_type()},
      {nullptr, nullptr}};
  ggml_backend_dev_t no_devices[] = {nullptr};
  llama_model_params params = params_of(request, backing);
  params.devices = no_devices;
  params.n_gpu_layers = 0;
  params.tensor_buft_overrides = overrides;
  return load(request, parts, file, params);
}

void leave_out_streamed(const StreamLayout& layout, VirtualHeader& header) {
  for (VirtualTensor& tensor : header.tensors) {
    tensor.given = std::ranges::none_of(layout.expert_layers, [&](const ExpertLayer& layer) {
      return std::ranges::any_of(layer.parts, [&](const ExpertPart& part) {
        const Extent& extent = part.tensor->extent;
        return extent.file == tensor.extent.file && extent.offset == tensor.extent.offset;
      });
    });
  }
}

Status load_for_gpu(const OpenRequest& request, OpenModel& parts, VirtualHeader& header, Backing backing) {
  leave_out_streamed(parts.weights->layout(), header);
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
  const llama_model_tensor_buft_override overrides[] = {
      {parts.weights->layout().pattern.c_str(), parts.weights->stream_buffer_type()}, {nullptr, nullptr}};
  ggml_backend_dev_t devices[] = {parts.weights->gpu_device(), nullptr};
  llama_model_params params = params_of(request, backing);
  params.devices = devices;
  params.n_gpu_layers = -1;  // all
  params.tensor_buft_overrides = overrides;
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
  return parts.weights->gpu_device() == nullptr ? load_for_cpu(request, parts, *header, backing)
                                                : load_for_gpu(request, parts, *header, backing);
}

}  // namespace hypura
