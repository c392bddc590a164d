// The parts of an open model, in the order in which they must be destroyed last to first; and how it is opened.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "backend/remote_layers.h"
#include "backend/streamed_weights.h"
#include "history/run_history.h"
#include "hypura/engine.h"
#include "llama/llama_context.h"
#include "llama/llama_runtime.h"
#include "load/draft_model.h"
#include "load/kept_memory.h"
#include "model/model.h"
#include "plan/explain.h"
#include "plan/plan_overrides.h"
#include "storage/reader.h"
#include "support/memory/budget.h"

namespace hypura {

// What the parts of a model take of its budget that do not reserve it themselves.
struct ModelMemory {
  Reservation overhead;  // of the process: kProcessOverhead, less what the weights take beyond their own bytes
  Reservation weights;   // that stay, in llama.cpp's buffers
  Reservation vocabulary;
  Reservation kv;
  Reservation compute;
  // The same in a GPU's memory. Of the KV cache there is then none in RAM.
  Reservation device_weights;
  Reservation device_kv;
  Reservation device_compute;
};

// A model opened in some mode. `reader` and `weights` are null when llama.cpp holds everything itself; `load_bytes`
// were then read for that.
struct OpenModel {
  std::vector<std::unique_ptr<RemoteLayers>> layers_workers;  // that whole layers are for
  std::unique_ptr<const Model> file;                          // what it was opened from
  std::shared_ptr<Budget> budget;                             // all that is below is out of it
  ModelMemory memory;
  std::unique_ptr<Reader> reader;
  std::unique_ptr<StreamedWeights> weights;
  LlamaModelPtr llama;
  LlamaContextPtr context;
  LlamaContextPtr mtp;       // of its MTP layers; null unless they draft
  ThreadpoolPtr threadpool;  // outlives neither context nor weights: both are stopped before it goes
  KeptMemory kept_memory;
  DraftModel draft;          // what is not taken from here is destroyed first
  PlacementProblem problem;  // that the plan is the solution of, with real sizes
  Plan plan;
  RunConditions conditions;   // of what a run with it teaches
  uint32_t context_size = 0;  // tokens of one sequence: as asked for or chosen, where llama.cpp rounds its own up
  uint32_t answers = 1;       // at once
  uint32_t sequences = 1;     // of the context: as many at least
  uint32_t ubatch = 0;
  uint32_t outputs = 1;                                   // tokens of one pass whose logits are kept
  std::vector<ggml_backend_device*> layers_devices = {};  // of GPUs that have some layers, in memory of their own
  uint64_t load_bytes = 0;
  uint64_t mtp_bytes = 0;  // that drafting by MTP layers takes besides their weights

  OpenModel() = default;
  ~OpenModel();
  OpenModel(OpenModel&&) = default;
  OpenModel& operator=(OpenModel&&) = delete;
};

// Opens the model that `options` name, as the plan for them and `overrides` says: headers, a trial, the plan, weights,
// context, draft model. It knows the run history. Fails as Engine::open.
Result<OpenModel> load_model(const EngineOptions& options, const PlanOverrides& overrides);

// Opens weights and context by `problem`, which has one mode and is made of estimates: with everything resident, by
// llama.cpp's own loader, or streamed. What llama.cpp really allocates is put in and the division made anew, beginning
// with `placement`: the result's `problem` and `plan.placement`. Fails with kBudget when too little is left.
// All is out of `budget`, which is the request's and kProcessOverhead.
Result<OpenModel> open_resident(const OpenRequest& request, std::shared_ptr<Budget> budget, PlacementProblem problem,
                                Placement placement);
Result<OpenModel> open_streaming(const OpenRequest& request, std::shared_ptr<Budget> budget, PlacementProblem problem,
                                 Placement placement);

// `problem` with the sizes that the smallest passes really take, with each KV cache, in the last of its modes: found by
// making such contexts without memory behind them. The estimate where llama.cpp makes none. It takes some tens of
// milliseconds and the time to read the vocabulary.
PlacementProblem with_real_sizes(const OpenRequest& request, PlacementProblem problem);

}  // namespace hypura
