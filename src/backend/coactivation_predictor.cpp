#include "backend/block_predictor.h"
#include "residency/coactivation.h"
#include "residency/replay/routing_steps.h"

namespace hypura {

namespace {

class CoactivationPredictor final : public BlockPredictor {
 public:
  explicit CoactivationPredictor(const StreamLayout& layout)
      : last_(static_cast<uint32_t>(layout.expert_layers.size()) - 1),
        counts_(static_cast<uint32_t>(layout.expert_layers.size()), layout.experts) {}

  size_t predict(const ChoosingBlock& block, std::span<const uint16_t> routed,
                 std::span<ExpertPrediction> out) override {
    const auto used = static_cast<size_t>(block.used());
    if (block.layer > 0 && block.layer == layer_ + 1 && routed.size() == before_.size()) {
      for (size_t at = 0; at < routed.size(); at += used) {
        counts_.learn(layer_, std::span(before_).subspan(at, used), routed.subspan(at, used));
      }
    }
    layer_ = block.layer;
    before_.assign(routed.begin(), routed.end());
    if (block.layer == last_ || block.tokens() != 1) {
      return 0;
    }
    return counts_.predict(block.layer, routed, out.first(std::min(out.size(), used)));
  }

  void recall(const RoutingTrace& trace) override { teach(counts_, trace); }

 private:
  uint32_t last_;
  CoActivation counts_;
  uint32_t layer_ = 0;            // of the block before
  std::vector<uint16_t> before_;  // what its tokens chose
};

}  // namespace

std::unique_ptr<BlockPredictor> make_coactivation_predictor(const StreamLayout& layout) {
  return std::make_unique<CoactivationPredictor>(layout);
}

}  // namespace hypura
