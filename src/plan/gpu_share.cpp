#include "plan/gpu_share.h"

#include <algorithm>

namespace hypura {

namespace {

// MTP layers count among the layers, and the output is one more.
int64_t first_gpu_layer(const Model& model, const GpuLayers& layers) {
  return std::clamp<int64_t>(model.layers + 1 - int64_t{layers.count}, 0, model.layers + 1);
}

// Where --cpu-moe leaves them, biases and scales among them.
bool of_experts(const TensorInfo& tensor) {
  return tensor.name.find("exps.") != std::string::npos;
}

// Tensors outside the layers that llama.cpp puts where the first layer is (it copies those of the rotation for others).
bool of_first_layer(const TensorInfo& tensor) {
  return tensor.name.starts_with("token_embd_norm.") || tensor.name.starts_with("rope_");
}

}  // namespace

StreamedLayers layers_before_gpu(const Model& model, const GpuLayers& layers) {
  const int64_t first = first_gpu_layer(model, layers);
  return {first, layers.experts ? first : model.layers, layers.count == 0 || !layers.output};
}

bool on_gpu(const Model& model, const GpuLayers& layers, const TensorInfo& tensor) {
  const int64_t first = first_gpu_layer(model, layers);
  if (tensor.layer >= 0) {
    return tensor.layer >= first && (layers.experts || !of_experts(tensor));
  }
  if (!layers.output) {
    return false;
  }
  return of_first_layer(tensor) ? first == 0 : layers.count > 0 && tensor.role != TensorRole::kEmbedding;
}

uint64_t gpu_weight_bytes(const Model& model, const GpuLayers& layers) {
  uint64_t bytes = 0;
  for (const TensorInfo& tensor : model.tensors) {
    bytes += on_gpu(model, layers, tensor) ? tensor.extent.length : 0;
  }
  return bytes;
}

double kv_share_before_gpu(const Model& model, const GpuLayers& layers) {
  const int64_t before = std::min(first_gpu_layer(model, layers), model.layers);
  return static_cast<double>(before) / static_cast<double>(std::max<int64_t>(model.layers, 1));
}

}  // namespace hypura
