#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "backend/block_predictor.h"

namespace hypura {

namespace {

// What is needed to predict the choice of one layer from the input of the one before; null where it cannot be had.
struct Step {
  const ggml_tensor* router = nullptr;
  const ggml_tensor* router_bias = nullptr;  // added to the scores
  const ggml_tensor* choice_bias = nullptr;  // added to their sigmoids, for choosing only
  std::vector<float> rescale;                // of the input: the weights of its own norm, by those of the one before
};

const float* floats(const ggml_tensor* tensor) {
  return static_cast<const float*>(tensor->data);
}

bool is_vector(const ggml_tensor* tensor, int64_t length) {
  return tensor != nullptr && tensor->type == GGML_TYPE_F32 && ggml_nelements(tensor) == length;
}

class RouterPredictor final : public BlockPredictor {
 public:
  RouterPredictor(const StreamLayout& layout, InnerGraph& inner,
                  const std::function<const ggml_tensor*(const std::string&)>& resident)
      : inner_(inner), steps_(layout.expert_layers.size()) {
    const auto find = [&](int layer, const char* name) { return resident(fmt::format("blk.{}.{}", layer, name)); };
    const auto norm = [&](int layer) {
      const ggml_tensor* usual = find(layer, "ffn_norm.weight");
      return usual != nullptr ? usual : find(layer, "post_attention_norm.weight");
    };
    for (size_t i = 0; i + 1 < layout.expert_layers.size(); ++i) {
      const int layer = layout.expert_layers[i + 1].layer;
      const ggml_tensor* router = find(layer, "ffn_gate_inp.weight");
      const auto experts = static_cast<int64_t>(layout.expert_layers[i + 1].experts);
      const bool follows = find(layer, "nextn.eh_proj.weight") == nullptr;  // an MTP layer has another input
      if (!follows || router == nullptr || router->ne[1] != experts || router->ne[2] != 1) {
        continue;
      }
      Step& step = steps_[i];
      step.router = router;
      step.router_bias = find(layer, "ffn_gate_inp.bias");
      step.choice_bias = find(layer, "exp_probs_b.bias");
      step.router_bias = is_vector(step.router_bias, experts) ? step.router_bias : nullptr;
      step.choice_bias = is_vector(step.choice_bias, experts) ? step.choice_bias : nullptr;
      set_rescale(step, norm(layout.expert_layers[i].layer), norm(layer));
    }
  }

  size_t predict(const ExpertBlock& block, std::span<const uint16_t> /*routed*/,
                 std::span<ExpertPrediction> out) override {
    const Step& step = steps_[block.layer];
    const ggml_tensor* input = block.nodes.front().node->src[1];
    if (step.router == nullptr || input->type != GGML_TYPE_F32 || input->ne[0] != step.router->ne[0]) {
      return 0;
    }
    const auto rows = static_cast<size_t>(block.tokens());
    score(step, input, rows);
    return rank(step, rows, static_cast<size_t>(block.used()), out);
  }

 private:
  static void set_rescale(Step& step, const ggml_tensor* before, const ggml_tensor* own) {
    const int64_t width = step.router->ne[0];
    step.rescale.assign(static_cast<size_t>(width), 1);
    if (!is_vector(before, width) || !is_vector(own, width)) {
      return;
    }
    for (size_t i = 0; i < step.rescale.size(); ++i) {
      step.rescale[i] = floats(before)[i] == 0 ? 1 : floats(own)[i] / floats(before)[i];
    }
  }

  // scores_[row][expert]
  void score(const Step& step, const ggml_tensor* input, size_t rows) {
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

  // Of each row the `used` likeliest: what a row wants first counts 1, its second 1/2, and so on, summed over the rows.
  size_t rank(const Step& step, size_t rows, size_t used, std::span<ExpertPrediction> out) {
    const auto experts = static_cast<size_t>(step.router->ne[1]);
    wanted_.assign(experts, 0);
    for (size_t row = 0; row < rows; ++row) {
      const std::span<float> scores(scores_.data() + row * experts, experts);
      add_biases(step, scores);
      order_.resize(experts);
      for (size_t i = 0; i < experts; ++i) {
        order_[i] = {static_cast<uint32_t>(i), scores[i]};
      }
      const size_t taken =
          copy_surest(std::span<const ExpertPrediction>(order_), std::span(best_).first(std::min(used, best_.size())));
      for (size_t i = 0; i < taken; ++i) {
        wanted_[best_[i].expert] += 1.0F / (1.0F + static_cast<float>(i));
      }
    }
    order_.clear();
    for (size_t i = 0; i < experts; ++i) {
      if (wanted_[i] > 0) {
        order_.push_back({static_cast<uint32_t>(i), wanted_[i]});
      }
    }
    return copy_surest(std::span<const ExpertPrediction>(order_), out);
  }

  static void add_biases(const Step& step, std::span<float> scores) {
    for (size_t i = 0; i < scores.size(); ++i) {
      scores[i] += step.router_bias == nullptr ? 0 : floats(step.router_bias)[i];
      if (step.choice_bias != nullptr) {
        scores[i] = 1 / (1 + std::exp(-scores[i])) + floats(step.choice_bias)[i];
      }
    }
  }

  static constexpr size_t kMostUsed = 32;

  InnerGraph& inner_;
  std::vector<Step> steps_;  // by layer that is left
  std::vector<float> inputs_;
  std::vector<float> scores_;
  std::vector<float> wanted_;
  std::vector<ExpertPrediction> order_;
  std::vector<ExpertPrediction> best_ = std::vector<ExpertPrediction>(kMostUsed);
};

}  // namespace

std::unique_ptr<BlockPredictor> make_router_predictor(
    const StreamLayout& layout, InnerGraph& inner,
    const std::function<const ggml_tensor*(const std::string&)>& resident) {
  return std::make_unique<RouterPredictor>(layout, inner, resident);
}

}  // namespace hypura
