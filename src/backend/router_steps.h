// Which experts the next layer will choose, by its own router: what is needed to score them from what the router of the
// layer before saw, and what becomes of the scores. Who computes the scores is another matter (router_predictor.cpp,
// gpu/device_predictor.h).
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "backend/stream_layout.h"
#include "ggml.h"
#include "residency/expert_predictor.h"

namespace hypura {

// From one layer to the next.
struct RouterStep {
  const ggml_tensor* router = nullptr;  // of the next layer; null where its choice cannot be predicted
  std::vector<float> rescale;           // of the input: the weights of the next norm, by those of the norm before
  std::vector<float> router_bias;       // added to the scores; empty: none is
  std::vector<float> choice_bias;       // added to their sigmoids, for choosing only; empty: none is
};

// By layer that is left. `resident` finds weights by name, wherever they lie (nullptr: not in memory), with their data.
std::vector<RouterStep> router_steps(const StreamLayout& layout,
                                     const std::function<const ggml_tensor*(const std::string&)>& resident);

// Not thread-safe: the owner serialises.
class RouterRanking {
 public:
  // `scores`, [row][expert], of the step's router; they are changed. Of each row the `used` likeliest: what a row wants
  // first counts 1, its second 1/2, and so on, summed over the rows. Fills `out` as BlockPredictor::predict().
  size_t rank(const RouterStep& step, std::span<float> scores, size_t rows, size_t used,
              std::span<ExpertPrediction> out);

 private:
  static constexpr size_t kMostUsed = 32;

  std::vector<float> wanted_;
  std::vector<ExpertPrediction> order_;
  std::vector<ExpertPrediction> best_ = std::vector<ExpertPrediction>(kMostUsed);
};

}  // namespace hypura
