// Predicts which experts the next layer with experts will choose, while this one's are read and computed. A prediction
// decides what is prefetched, never what is computed.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/inner_graph.h"
#include "backend/stream_layout.h"
#include "ggml.h"
#include "hypura/result.h"
#include "hypura/routing.h"
#include "residency/expert_predictor.h"

namespace hypura {

// A layer's products with experts, as a graph has them.
struct ChoosingBlock {
  uint32_t layer = 0;                  // index into StreamLayout::expert_layers
  const ggml_tensor* ids = nullptr;    // i32 [experts used, tokens]
  const ggml_tensor* input = nullptr;  // of the first product: what the router saw

  int64_t used() const { return ids->ne[0]; }
  int64_t tokens() const { return ids->ne[1]; }
};

// Not thread-safe: the owner serialises.
class BlockPredictor {
 public:
  // More rows than that are not predicted for one by one.
  static constexpr int64_t kMostRows = 8;

  virtual ~BlockPredictor() = default;

  // The block's tokens, at most kMostRows, chose `routed`, [token][used]; its inputs still hold. Fills `out` from its
  // beginning with predictions for the layer after it, surest first, no expert twice; gives how many. 0 after the last.
  virtual size_t predict(const ChoosingBlock& block, std::span<const uint16_t> routed,
                         std::span<ExpertPrediction> out) = 0;

  // The same of a prompt: for its last `tokens` tokens, however many, or kSampledRows of them. 0 where it predicts
  // decoding only.
  static constexpr int64_t kSampledRows = 128;
  virtual size_t predict_prompt(const ChoosingBlock& /*block*/, int64_t /*tokens*/,
                                std::span<ExpertPrediction> /*out*/) {
    return 0;
  }

  // Where a device computes: `graph`, with this model's layers, is new, and tells where their weights lie.
  virtual void look_at(ggml_cgraph* /*graph*/) {}

  // Where a device computes: the block's input is there in the order of its stream. Begins what predict() needs, to be
  // called once the stream was synchronised. Fails with kInternal when ggml refused.
  virtual Status begin(const ChoosingBlock& /*block*/) { return {}; }

  // Learns from what earlier runs of this model chose, where it learns at all. Call before the first predict().
  virtual void recall(const RoutingTrace& /*trace*/) {}
};

// By the next layer's own router, on what this layer's router saw: the hidden state changes little from layer to layer.
// Only between layers whose routers, and norms before them, `resident` finds by name (nullptr: not in memory).
std::unique_ptr<BlockPredictor> make_router_predictor(
    const StreamLayout& layout, InnerGraph& inner,
    const std::function<const ggml_tensor*(const std::string&)>& resident);

// By what tokens that chose the same experts chose next, learned from earlier runs and as it goes.
std::unique_ptr<BlockPredictor> make_coactivation_predictor(const StreamLayout& layout);

}  // namespace hypura
