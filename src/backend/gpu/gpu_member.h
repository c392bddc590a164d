// One of the GPUs that compute a model with slots, as StreamedWeights has them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "backend/block_predictor.h"
#include "backend/gpu/gpu_device.h"
#include "backend/gpu/gpu_executor.h"
#include "backend/streamed_weights.h"

namespace hypura {

// Neither copied nor moved: llama.cpp points to the buffer type.
struct GpuMember {
  GpuLayerRange range;  // of the streamed layers, those that it computes
  std::string pattern;  // of the names of their streamed tensors
  std::unique_ptr<GpuDevice> device;
  ggml_backend_buffer_type stream_type{};
  std::unique_ptr<BlockPredictor> predictor;  // of its layers, where it is asked itself
  std::unique_ptr<GpuExecutor> experts;       // once the caches are allocated
};

}  // namespace hypura
