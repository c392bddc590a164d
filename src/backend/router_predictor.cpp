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
    const RouterStep& step = steps_[block.layer];
    const ggml_tensor* input = block.input;
    if (step.router == nullptr || input->type != GGML_TYPE_F32 || input->ne[0] != step.router->ne[0]) {
      return 0;
    }
    const auto rows = static_cast<size_t>(block.tokens());
    score(step, input, rows);
    return ranking_.rank(step, scores_, rows, static_cast<size_t>(block.used()), out);
  }

 private:
  // scores_[row][expert]
  void score(const RouterStep& step, const ggml_tensor* input, size_t rows) {
    const size_t width = step.rescale.size();
    const auto experts = static_cast<size_t>(step.router->ne[1]);
    inputs_.resize(width * rows);
    scores_.resize(experts * rows);
    for (size_t row = 0; row < rows; ++row) {
      const auto* from =
          reinterpret_cast<const float*>(static_cast<const std::byte*>(input->data) + row * input->nb[2]);
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
