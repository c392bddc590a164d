#include "backend/worker/worker_weights.h"

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

}  // namespace

uint64_t WorkerWeights::bias_bytes(const Model& model, const StreamLayout& layout) {
  uint64_t bytes = 0;
  for (const ExpertLayer& layer : layout.expert_layers) {
    for (const ExpertPart& part : layer.parts) {
      const TensorInfo* bias = bias_of(model, *part.tensor);
      bytes += bias == nullptr ? 0 : round_up(bias->extent.length, kDirectAlignment) + 2 * kDirectAlignment;
    }
  }
  return bytes;
}

Result<std::unique_ptr<WorkerWeights>> WorkerWeights::create(StreamedWeights& weights) {
  std::unique_ptr<WorkerWeights> made(new WorkerWeights(weights.layout()));
  std::vector<Wanted> matrices;
  std::vector<Wanted> biases;
  for (uint32_t layer = 0; layer < made->layers_.size(); ++layer) {
    for (const TensorInfo* part : made->layers_[layer].parts) {
      matrices.push_back({part, layer});
      const TensorInfo* bias = made->layers_[layer].dense ? nullptr : bias_of(weights.model(), *part);
      if (bias != nullptr) {
        biases.push_back({bias, layer});
      }
    }
  }
  const ggml_init_params params = {ggml_tensor_overhead() * (matrices.size() + biases.size()), nullptr, true};
  made->context_.reset(ggml_init(params));
  Status status = made->place(matrices, false, weights.stream_buffer_type());
  if (status) {
    status = made->place(biases, true, weights.resident_buffer_type());
  }
  if (status) {
    status = weights.finish_loading({});
  }
  if (!status) {
    return propagate(status.error());
  }
  return made;
}

Status WorkerWeights::place(const std::vector<Wanted>& wanted, bool bias, ggml_backend_buffer_type_t type) {
  std::vector<ggml_tensor*> tensors;
  uint64_t bytes = 0;
  for (const Wanted& it : wanted) {
    const auto& shape = it.info->shape;
    ggml_tensor* tensor =
        ggml_new_tensor_3d(context_.get(), static_cast<ggml_type>(it.info->type), shape[0], shape[1], shape[2]);
    ggml_set_name(tensor, it.info->name.c_str());
    tensors.push_back(tensor);
    by_name_[it.info->name] = {tensor, it.layer, bias};
    bytes += place_bytes(type, tensor);
  }
  if (tensors.empty()) {
    return {};
  }
  ggml_backend_buffer_t buffer = ggml_backend_buft_alloc_buffer(type, bytes);
  if (buffer == nullptr) {
    return fail(ErrorCode::kBudget, "cannot have {} for the weights' {}", format_bytes(bytes),
                bias ? "biases" : "addresses");
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
