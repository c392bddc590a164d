// How good predictions about the next layer's experts would have been on a recorded trace, and what they would have
// been worth beside the live cache.
//
// Before a pass comes to a layer, the predictor is asked, for each of its tokens, what the token chooses there, given
// what it chose in the layer before; afterwards the predictor learns it. So it knows at every moment what it would have
// known while running, and no more. Passes that evaluate prompts teach the predictor and move the cache, and count in
// nothing.
//
// Predictions move nothing: the cache holds what it would hold without them. What is counted as useful is the most that
// reading ahead can be worth at this cache size, when every such read is complete in time and evicts nothing.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "hypura/routing.h"
#include "residency/expert_predictor.h"

namespace hypura {

// What the surest predictions came to, those of each token up to some width. A predictor that gives fewer is counted
// with what it gives.
struct PredictionCounts {
  uint64_t predictions = 0;
  uint64_t right = 0;   // of the predictions, chosen by the token that they were for
  uint64_t reads = 0;   // experts predicted that the cache did not hold, each once a layer and pass
  uint64_t useful = 0;  // of the reads, used by the pass in that layer; each is a miss that the read would have covered

  // right / predictions; 0 when there were none.
  double precision() const;
  // useful / reads; 0 when there were none.
  double useful_share() const;

  bool operator==(const PredictionCounts&) const = default;
};

// Counts of decode passes.
struct PredictionResult {
  uint64_t chosen = 0;   // experts of the tokens, in the layers for which a prediction could be made: not in the first
  uint64_t lookups = 0;  // of the cache, in all layers: as ReplayResult::lookups
  uint64_t misses = 0;   // of the lookups
  uint64_t predictable = 0;  // of the misses, in all layers but the first
  PredictionCounts full;     // at most as many predictions for a token as it uses experts in a layer
  PredictionCounts half;     // at most half as many, but one

  // counts.right / chosen; 0 when nothing was chosen. At most a half for `half`.
  double recall(const PredictionCounts& counts) const;
  // counts.useful / predictable; 0 when nothing was missed.
  double covered_share(const PredictionCounts& counts) const;

  bool operator==(const PredictionResult&) const = default;
};

// Replays the trace from an empty cache of the live policy, driven as replay() drives it: `slots` is taken as at least
// 1, `spare` as 1..slots. The predictor must be for a model of the trace's shape; it goes on from what it knows.
PredictionResult replay_predictions(const RoutingTrace& trace, ExpertPredictor& predictor, uint32_t slots,
                                    uint32_t spare);

// Predicts nothing: what the cache does alone.
class NoPrediction : public ExpertPredictor {
 public:
  size_t predict(uint32_t layer, std::span<const uint16_t> chosen, std::span<ExpertPrediction> out) const override;
  void learn(uint32_t layer, std::span<const uint16_t> chosen, std::span<const uint16_t> next) override;
};

// Predicts what most tokens so far chose in the layer; the confidence is their share. Never forgets.
class PopularPrediction : public ExpertPredictor {
 public:
  // For a model of that many layers with experts, at least 1, and experts in each.
  PopularPrediction(uint32_t layers, uint32_t experts);

  size_t predict(uint32_t layer, std::span<const uint16_t> chosen, std::span<ExpertPrediction> out) const override;
  void learn(uint32_t layer, std::span<const uint16_t> chosen, std::span<const uint16_t> next) override;

 private:
  uint32_t experts_;
  std::vector<uint64_t> tokens_;  // by layer
  std::vector<uint64_t> counts_;  // [layer][expert]: tokens that chose it
};

}  // namespace hypura
