// Which weights are a GPU's when it computes the last layers of a model, and which are left to the processors: told
// from the header, as llama.cpp (v0.5.0) divides a model by its n_gpu_layers. The engine's tests compare it with the
// buffers that llama.cpp then has.
#pragma once

#include <cstdint>

#include "backend/stream_layout.h"
#include "model/model.h"
#include "plan/plan_overrides.h"

namespace hypura {

// Where the processors' part ends: streamed is what lies before.
StreamedLayers layers_before_gpu(const Model& model, const GpuLayers& layers);

// Whether the tensor's bytes lie in the GPU's memory and nowhere else. The table of embeddings does not: the processors
// look them up.
bool on_gpu(const Model& model, const GpuLayers& layers, const TensorInfo& tensor);

// Bytes of such tensors.
uint64_t gpu_weight_bytes(const Model& model, const GpuLayers& layers);

// Of the layers' keys and values, what the processors keep: those of so many layers of all.
double kv_share_before_gpu(const Model& model, const GpuLayers& layers);

}  // namespace hypura
