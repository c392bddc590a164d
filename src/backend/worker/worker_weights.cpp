#include "backend/worker/worker_weights.h"

#include <set>

#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

// "blk.3.ffn_up_exps.bias" of "blk.3.ffn_up_exps.weight", where the model has one.
const TensorInfo* bias_of(const Model& model, const TensorInfo& weight) {
  const std::string stem = weight.name.substr(0, weight.name.rfind('.'));
  const TensorInfo* bias = model.find(stem + ".bias");
  const bool fits = bias != nullptr && bias->type == GGML_TYPE_F32 && bias->shape[0] == weight.shape[1] &&
                    bias->shape[1] == weight.shape[2] && bias->shape[2] == 1 && bias->shape[3] == 1;
  return fits ? bias : nullptr;
}

// Where each begins, behind the one before.
uint64_t place_bytes(ggml_backend_buffer_type_t type, const ggml_tensor* tensor) {
  return round_up(ggml_backend_buft_get_alloc_size(type, tensor), kDirectAlignment);
}

// What scales positions is every layer's.
bool is_of_layers(const TensorInfo& tensor) {
  return tensor.layer >= 0 || tensor.name.starts_with("rope_f");
}

}  // namespace

std::vector<WorkerWeights::Wanted> WorkerWeights::biases(const Model& model, const std::vector<WorkerLayer>& layers) {
  std::vector<Wanted> all;
  for (uint32_t layer = 0; layer < layers.size(); ++layer) {
    for (const TensorInfo* part : layers[layer].parts) {
      const TensorInfo* bias = layers[layer].dense ? nullptr : bias_of(model, *part);
      if (bias != nullptr) {
        all.push_back({bias, layer, WeightUse::kBias});
      }
    }
  }
  return all;
}

uint64_t WorkerWeights::resident_bytes(const Model& model, const StreamLayout& layout, bool whole_layers) {
  uint64_t bytes = 0;
  const auto add = [&](const TensorInfo& tensor) {
    bytes += round_up(tensor.extent.length, kDirectAlignment) + 2 * kDirectAlignment;
  };
  std::set<const TensorInfo*> with_experts;
  for (const Wanted& it : biases(model, worker_layers(layout))) {
    add(*it.info);
    with_experts.insert(it.info);
  }
  for (const TensorInfo& it : model.tensors) {
    if (whole_layers && is_of_layers(it) && !layout.streams(it) && !with_experts.contains(&it)) {
      add(it);
    }
  }
  return bytes;
}

Result<std::unique_ptr<WorkerWeights>> WorkerWeights::create(StreamedWeights& weights, bool whole_layers) {
  std::unique_ptr<WorkerWeights> made(new WorkerWeights(weights.layout()));
  const StreamLayout& layout = weights.layout();
  std::vector<Wanted> matrices;
  std::set<const TensorInfo*> parts;
  for (uint32_t layer = 0; layer < made->layers_.size(); ++layer) {
    for (const TensorInfo* part : made->layers_[layer].parts) {
      matrices.push_back({part, layer, WeightUse::kMatrix});
      parts.insert(part);
    }
  }
  std::vector<Wanted> resident = biases(weights.model(), made->layers_);
  for (const Wanted& it : resident) {
    parts.insert(it.info);
  }
  for (const TensorInfo& it : weights.model().tensors) {
    if (whole_layers && is_of_layers(it) && !parts.contains(&it)) {
      (layout.streams(it) ? matrices : resident).push_back({&it, 0, WeightUse::kLayers});
    }
  }
  const ggml_init_params params = {ggml_tensor_overhead() * (matrices.size() + resident.size()), nullptr, true};
  made->context_.reset(ggml_init(params));
  Status status = made->place(matrices, weights.stream_buffer_type());
  if (status) {
    status = made->place(resident, weights.resident_buffer_type());
  }
  if (status) {
    status = weights.finish_loading({});
  }
  if (!status) {
    return propagate(status.error());
  }
  return made;
}

Status WorkerWeights::place(const std::vector<Wanted>& wanted, ggml_backend_buffer_type_t type) {
  std::vector<ggml_tensor*> tensors;
  uint64_t bytes = 0;
  for (const Wanted& it : wanted) {
    const auto& shape = it.info->shape;
    ggml_tensor* tensor = ggml_new_tensor_4d(context_.get(), static_cast<ggml_type>(it.info->type), shape[0], shape[1],
                                             shape[2], shape[3]);
    ggml_set_name(tensor, it.info->name.c_str());
    tensors.push_back(tensor);
    by_name_[it.info->name] = {tensor, it.layer, it.use};
    bytes += place_bytes(type, tensor);
  }
  if (tensors.empty()) {
    return {};
  }
  ggml_backend_buffer_t buffer = ggml_backend_buft_alloc_buffer(type, bytes);
  if (buffer == nullptr) {
    return fail(ErrorCode::kBudget, "cannot have {} for the weights", format_bytes(bytes));
  }
  buffers_.emplace_back(buffer);
  auto* at = static_cast<std::byte*>(ggml_backend_buffer_get_base(buffer));
  for (ggml_tensor* tensor : tensors) {
    ggml_backend_tensor_alloc(buffer, tensor, at);
    at += place_bytes(type, tensor);
  }
  return {};
}

const NamedWeight* WorkerWeights::find(std::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : &it->second;
}

}  // namespace hypura
