#include "backend/router_steps.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ggml-backend.h"

namespace hypura {

namespace {

// Of a vector that is as long as it should be; else nothing.
std::vector<float> numbers_of(const ggml_tensor* tensor, int64_t length) {
  std::vector<float> numbers;
  if (tensor != nullptr && tensor->type == GGML_TYPE_F32 && ggml_nelements(tensor) == length) {
    numbers.resize(static_cast<size_t>(length));
    ggml_backend_tensor_get(tensor, numbers.data(), 0, ggml_nbytes(tensor));
  }
  return numbers;
}

std::vector<float> rescale_of(const std::vector<float>& before, const std::vector<float>& own, size_t width) {
  std::vector<float> rescale(width, 1);
  for (size_t i = 0; i < width && !before.empty() && !own.empty(); ++i) {
    rescale[i] = before[i] == 0 ? 1 : own[i] / before[i];
  }
  return rescale;
}

void add_biases(const RouterStep& step, std::span<float> scores) {
  for (size_t i = 0; i < scores.size(); ++i) {
    scores[i] += step.router_bias.empty() ? 0 : step.router_bias[i];
    if (!step.choice_bias.empty()) {
      scores[i] = 1 / (1 + std::exp(-scores[i])) + step.choice_bias[i];
    }
  }
}

}  // namespace

std::vector<RouterStep> router_steps(const StreamLayout& layout,
                                     const std::function<const ggml_tensor*(const std::string&)>& resident) {
  std::vector<RouterStep> steps(layout.expert_layers.size());
  const auto find = [&](int layer, const char* name) { return resident(fmt::format("blk.{}.{}", layer, name)); };
  const auto norm = [&](int layer, int64_t width) {
    const ggml_tensor* usual = find(layer, "ffn_norm.weight");
    return numbers_of(usual != nullptr ? usual : find(layer, "post_attention_norm.weight"), width);
  };
  for (size_t i = 0; i + 1 < layout.expert_layers.size(); ++i) {
    const int layer = layout.expert_layers[i + 1].layer;
    const ggml_tensor* router = find(layer, "ffn_gate_inp.weight");
    const auto experts = static_cast<int64_t>(layout.expert_layers[i + 1].experts);
    const bool follows = find(layer, "nextn.eh_proj.weight") == nullptr;  // an MTP layer has another input
    if (!follows || router == nullptr || router->ne[1] != experts || router->ne[2] != 1) {
      continue;
    }
    RouterStep& step = steps[i];
    step.router = router;
    step.router_bias = numbers_of(find(layer, "ffn_gate_inp.bias"), experts);
    step.choice_bias = numbers_of(find(layer, "exp_probs_b.bias"), experts);
    const int64_t width = router->ne[0];
    step.rescale =
        rescale_of(norm(layout.expert_layers[i].layer, width), norm(layer, width), static_cast<size_t>(width));
  }
  return steps;
}

size_t RouterRanking::rank(const RouterStep& step, std::span<float> scores, size_t rows, size_t used,
                           std::span<ExpertPrediction> out) {
  const auto experts = static_cast<size_t>(step.router->ne[1]);
  wanted_.assign(experts, 0);
  for (size_t row = 0; row < rows; ++row) {
    const std::span<float> its = scores.subspan(row * experts, experts);
    add_biases(step, its);
    order_.resize(experts);
    for (size_t i = 0; i < experts; ++i) {
      order_[i] = {static_cast<uint32_t>(i), its[i]};
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

}  // namespace hypura
