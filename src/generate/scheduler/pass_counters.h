// What an engine has done so far.
#pragma once

#include <mutex>

#include "backend/streamed_weights.h"
#include "hypura/engine.h"
#include "llama/kept_kv.h"

namespace hypura {

// One llama_decode.
struct PassWork {
  uint32_t tokens = 0;
  uint32_t prompt_tokens = 0;  // of these, those of a prompt
  double seconds = 0;
  uint64_t bytes = 0;  // read from disk meanwhile
};

// Thread-safe.
class PassCounters {
 public:
  void note_loaded(double seconds);
  void note_pass(const PassWork& pass);
  // Of the last passes' tokens `drafted` were drafts, the first `accepted` of which were what the model says.
  void note_drafted(uint32_t drafted, uint32_t accepted);
  // So many tokens were given to a caller.
  void note_answered(size_t tokens);

  EngineStats read() const;

 private:
  mutable std::mutex mutex_;  // guards stats_
  EngineStats stats_;
};

// Puts in what is kept beyond the context.
void add_kept(const KeptKvStats& kept, EngineStats& stats);

// Puts in what has happened to the experts and dense weights that are streamed.
void add_streaming(const StreamedWeights& weights, EngineStats& stats);

// Puts in what a worker has done.
void add_worker(const WorkerStats& its, EngineStats& stats);

// Puts in how long the links to GPUs were busy, by the counters that are there and DevicePlan::upload_rates.
void add_links(const std::vector<double>& upload_rates, EngineStats& stats);

}  // namespace hypura
