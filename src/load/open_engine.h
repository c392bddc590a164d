// The parts of an open model, in the order in which they must be destroyed last to first.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "backend/streamed_weights.h"
#include "hypura/engine.h"
#include "llama/llama_context.h"
#include "llama/llama_runtime.h"
#include "model/model.h"
#include "plan/explain.h"
#include "storage/reader.h"

namespace hypura {

// A model opened in some mode. `reader` and `weights` are null when llama.cpp holds everything itself; `load_bytes`
// were then read for that.
struct OpenParts {
  std::unique_ptr<Reader> reader;
  std::unique_ptr<StreamedWeights> weights;
  LlamaModelPtr llama;
  LlamaContextPtr context;
  LlamaContextPtr mtp;           // of its MTP layers; null unless they draft
  ThreadpoolPtr threadpool;      // outlives neither context nor weights: both are stopped before it goes
  std::optional<Chosen> chosen;  // as it was at last, with real sizes
  std::vector<LedgerLine> ledger;
  uint32_t ubatch = 0;
  uint64_t load_bytes = 0;
  uint64_t mtp_bytes = 0;  // that drafting by MTP layers takes besides their weights

  OpenParts() = default;
  ~OpenParts();
  OpenParts(OpenParts&&) = default;
  OpenParts& operator=(OpenParts&&) = delete;
};

// Opens the model as `chosen` says, from estimates: with everything resident, by llama.cpp's own loader, or streamed.
// What llama.cpp really allocates is put in, and the division made anew. Fails with kBudget when it leaves too little.
Result<OpenParts> open_resident(const OpenRequest& request, Chosen chosen);
Result<OpenParts> open_streaming(const OpenRequest& request, Chosen chosen);

// `problem` with the sizes that the smallest passes really take, with each KV cache, in the last of its modes: found by
// making such contexts without memory behind them. The estimate where llama.cpp makes none. It takes some tens of
// milliseconds and the time to read the vocabulary.
PlacementProblem with_real_sizes(const OpenRequest& request, PlacementProblem problem);

}  // namespace hypura
