// Computes the expert block of a layer from slots: what is resident at once, what is missing as it arrives.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "backend/block_predictor.h"
#include "backend/expert_batch.h"
#include "backend/expert_block.h"
#include "backend/inner_graph.h"
#include "backend/leased_experts.h"
#include "backend/remote_experts.h"
#include "backend/repack_buffer.h"
#include "backend/stream_layout.h"
#include "backend/stream_stats.h"
#include "residency/routing_recorder.h"
#include "tiers/expert_store.h"

namespace hypura {

// Not thread-safe: the owner serialises. The references must outlive the object.
class ExpertExecutor {
 public:
  // Choices for each expert of a layer from which on a pass is taken to need every one: with as many, made by chance, 5
  // in 100 are left out; the more uneven routing is, the more.
  static constexpr uint32_t kChoicesForAll = 3;

  // Allocates buffers for `max_rows` rows. Experts that many rows chose are repacked in `repack`, or never when that is
  // nullptr. Fails with kBudget.
  static Result<std::unique_ptr<ExpertExecutor>> create(const StreamLayout& layout, ExpertStore& store,
                                                        InnerGraph& inner, const StreamStats& stats, uint32_t max_rows,
                                                        RepackBuffer* repack);

  // Computes the block. Fails with kIo when a read fails, with kInternal when the router chose an expert that is not
  // there or ggml refused. After a failure the store is consistent and the block's results are undefined.
  Status run(const ExpertBlock& block);

  ExpertExecutor(const ExpertExecutor&) = delete;
  ExpertExecutor& operator=(const ExpertExecutor&) = delete;

  // It computes the layers before this one, and reads nothing ahead for others; at first all of them.
  void compute_before(uint32_t layer) { end_ = layer; }

  // From now on the next layer's experts are prefetched as `predictor` says, in decode passes; nullptr: none are.
  void predict_by(BlockPredictor* predictor) { predictor_ = predictor; }

  // From now on the next layer's experts are read ahead in a prompt's passes too: those that `predictor` expects
  // (nullptr: it is not asked), and all where the pass makes choices enough.
  void stream_prompts(BlockPredictor* predictor) {
    streams_prompts_ = true;
    prompt_predictor_ = predictor;
  }

  // A pass begins. Of its tokens `outputs`, the last ones, are computed in the last layer: those whose logits are
  // wanted. Of a prompt's, which make so many choices in each layer (0: of another), the first layer's experts are read
  // from now on.
  void begin_pass(size_t outputs, size_t choices);

  // From now on workers compute some experts, where that is faster; nothing is then read ahead in decode passes.
  // `workers` must outlive the object.
  void compute_with(RemoteExperts* workers) { workers_ = workers; }

  // Another machine says that it will ask for these, after the next block: they are read as soon as all that this one
  // wants is requested.
  void read_ahead(uint32_t layer, std::span<const ExpertPrediction> experts) {
    said_layer_ = layer;
    said_.assign(experts.begin(), experts.end());
  }

  // The layout says something else of what is repacked.
  void follow_layout() { batch_->follow_layout(); }

  // See LeasedExperts.
  void between_batches(std::function<void()> call) { leased_->between_batches(std::move(call)); }

  // From now on each block's choice is noted in `recorder`, which must outlive the object; nullptr: in none.
  void record(RoutingRecorder* recorder) { recorder_ = recorder; }

 private:
  ExpertExecutor(const StreamLayout& layout, ExpertStore& store, const StreamStats& stats);

  Status collect(const ExpertBlock& block);
  void acquire(const ExpertBlock& block, std::span<const uint32_t> experts);
  bool decoding() const;
  void predict(const ExpertBlock& block);
  bool is_last(const ExpertBlock& block) const { return block.layer + 1 >= end_; }
  size_t predict_prompt(const ExpertBlock& block);
  size_t predict_choice(const ChoosingBlock& block);
  size_t predict_all(uint32_t layer, size_t choices, size_t predicted);
  Status compute(const ExpertBlock& block);
  Status compute_parts(const ExpertBlock& block, const std::function<void()>& between = {});
  bool may_ask(const ExpertBlock& block);
  Status run_with_workers(const ExpertBlock& block);
  Status compute_lost(const ExpertBlock& block);

  const StreamLayout& layout_;
  ExpertStore& store_;
  const StreamStats& stats_;
  BlockPredictor* predictor_ = nullptr;
  bool streams_prompts_ = false;
  BlockPredictor* prompt_predictor_ = nullptr;
  size_t outputs_ = 0;  // of the pass in work
  uint32_t end_;        // of its layers
  std::unique_ptr<ExpertBatch> batch_;
  std::unique_ptr<LeasedExperts> leased_;
  RoutingRecorder* recorder_ = nullptr;
  RemoteExperts* workers_ = nullptr;
  uint32_t said_layer_ = 0;
  std::vector<ExpertPrediction> said_;  // that will be asked for next, of that layer

  // Of the block in work; members so that their memory is reused.
  std::vector<std::vector<uint32_t>> pairs_;   // by expert: the pairs (token * used + position) that chose it
  std::vector<uint32_t> wanted_;               // experts that some pair chose, ascending
  std::vector<uint32_t> own_;                  // of these, what this machine computes beside workers
  std::vector<uint16_t> routed_;               // by pair: its expert
  std::vector<ExpertPrediction> predictions_;  // for the next layer
};

}  // namespace hypura
