#include <algorithm>

#include "backend/block_predictor.h"
#include "backend/router_steps.h"

namespace hypura {

namespace {

// By ggml's kernels for the processor, on an input in RAM.
class RouterPredictor final : public BlockPredictor {
 public:
  RouterPredictor(const StreamLayout& layout, InnerGraph& inner,
                  const std::function<const ggml_tensor*(const std::string&)>& resident)
      : inner_(inner), steps_(router_steps(layout, resident)) {}

  size_t predict(const ChoosingBlock& block, std::span<const uint16_t> /*routed*/,
                 std::span<ExpertPrediction> out) override {
    return predict_rows(block, block.tokens(), block.tokens(), out);
  }

  size_t predict_prompt(const ChoosingBlock& block, int64_t tokens, std::span<ExpertPrediction> out) override {
    return predict_rows(block, tokens, std::min(tokens, kSampledRows), out);
  }

 private:
  // By `sampled` rows, spread evenly over the block's last `rows`.
  size_t predict_rows(const ChoosingBlock& block, int64_t rows, int64_t sampled, std::span<ExpertPrediction> out) {
    const RouterStep& step = steps_[block.layer];
    const ggml_tensor* input = block.input;
    if (step.router == nullptr || input->type != GGML_TYPE_F32 || input->ne[0] != step.router->ne[0]) {
      return 0;
    }
    rows_.clear();
    for (int64_t i = 0; i < sampled; ++i) {
      rows_.push_back(block.tokens() - rows + i * rows / sampled);
    }
    score(step, input);
    return ranking_.rank(step, scores_, rows_.size(), static_cast<size_t>(block.used()), out);
  }

  // scores_[row of rows_][expert]
  void score(const RouterStep& step, const ggml_tensor* input) {
    const size_t rows = rows_.size();
    const size_t width = step.rescale.size();
    const auto experts = static_cast<size_t>(step.router->ne[1]);
    inputs_.resize(width * rows);
    scores_.resize(experts * rows);
    for (size_t row = 0; row < rows; ++row) {
      const auto* from = reinterpret_cast<const float*>(static_cast<const std::byte*>(input->data) +
                                                        static_cast<size_t>(rows_[row]) * input->nb[2]);
      std::transform(from, from + width, step.rescale.begin(),
                     inputs_.begin() + static_cast<std::ptrdiff_t>(row * width), std::multiplies<>());
    }
    ggml_tensor* product = inner_.matrix(static_cast<int64_t>(experts), static_cast<int64_t>(rows), scores_.data());
    product->op = GGML_OP_MUL_MAT;
    product->flags = GGML_TENSOR_FLAG_COMPUTE;
    product->src[0] = inner_.view(*step.router);
    product->src[1] = inner_.matrix(static_cast<int64_t>(width), static_cast<int64_t>(rows), inputs_.data());
    inner_.add(product);
    if (inner_.run() != GGML_STATUS_SUCCESS) {
      std::fill(scores_.begin(), scores_.end(), 0.0F);
    }
  }

  InnerGraph& inner_;
  std::vector<RouterStep> steps_;
  RouterRanking ranking_;
  std::vector<int64_t> rows_;  // of the block, that are scored
  std::vector<float> inputs_;
  std::vector<float> scores_;
};

}  // namespace

std::unique_ptr<BlockPredictor> make_router_predictor(
    const StreamLayout& layout, InnerGraph& inner,
    const std::function<const ggml_tensor*(const std::string&)>& resident) {
  return std::make_unique<RouterPredictor>(layout, inner, resident);
}

}  // namespace hypura
