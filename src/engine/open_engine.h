// The parts of an open model, in the order in which they must be destroyed last to first.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "backend/streamed_weights.h"
#include "engine/llama_runtime.h"
#include "hypura/engine.h"
#include "llama.h"
#include "model/model.h"
#include "placement/placement.h"
#include "storage/reader.h"

namespace hypura {

struct LlamaDeleter {
  void operator()(llama_model* model) const { llama_model_free(model); }
  void operator()(llama_context* context) const { llama_free(context); }
};
using LlamaModelPtr = std::unique_ptr<llama_model, LlamaDeleter>;
using LlamaContextPtr = std::unique_ptr<llama_context, LlamaDeleter>;

// What one attempt to open a model needs to know.
struct OpenRequest {
  const EngineOptions& options;
  const Model& model;
  uint64_t budget = 0;
  uint32_t threads = 0;
  uint32_t context = 0;
};

// A model opened in some mode. `reader` and `weights` are null when llama.cpp holds everything itself.
struct OpenParts {
  std::unique_ptr<Reader> reader;
  std::unique_ptr<StreamedWeights> weights;
  LlamaModelPtr llama;
  LlamaContextPtr context;
  ThreadpoolPtr threadpool;  // outlives neither context nor weights: both are stopped before it goes
  Placement placement;
  std::vector<LedgerLine> ledger;
  uint32_t ubatch = 0;

  OpenParts() = default;
  ~OpenParts();
  OpenParts(OpenParts&&) = default;
  OpenParts& operator=(OpenParts&&) = delete;
};

// Sizes of the model as the placement needs them, `runtime` estimated.
PlacementInput placement_input(const OpenRequest& request);

// Opens the model with everything resident, by llama.cpp's own loader.
Result<OpenParts> open_resident(const OpenRequest& request);

// Opens the model in a streaming mode. Fails with kBudget when what llama.cpp really allocates leaves too little.
Result<OpenParts> open_streaming(const OpenRequest& request, Mode mode);

}  // namespace hypura
