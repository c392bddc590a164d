// Predictions about which experts a token will choose in the next layer, made when its choice in one layer is known:
// they say what may be worth reading before it is asked for. A wrong prediction costs a read and never changes an
// answer.
//
// Layers are counted as in RoutingTrace: those that have experts, ascending from 0.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace hypura {

struct ExpertPrediction {
  uint32_t expert = 0;
  float confidence = 0;  // 0..1: how likely the predictor itself holds it to be that the expert is chosen
};

// Not thread-safe: the owner serialises.
class ExpertPredictor {
 public:
  virtual ~ExpertPredictor() = default;

  // Predicts what a token that chose `chosen` in `layer` chooses in layer + 1. Fills `out` from its beginning, no
  // expert twice, surest first, of equals the lower number; gives how many it has written, 0 when it cannot tell.
  virtual size_t predict(uint32_t layer, std::span<const uint16_t> chosen, std::span<ExpertPrediction> out) const = 0;

  // A token chose `chosen` in `layer` and `next` in layer + 1, which is a layer of the model. Call after that token's
  // predict().
  virtual void learn(uint32_t layer, std::span<const uint16_t> chosen, std::span<const uint16_t> next) = 0;
};

// Copies the surest of `predictions` to the beginning of `out`, in the order of predict(); gives how many.
inline size_t copy_surest(std::span<const ExpertPrediction> predictions, std::span<ExpertPrediction> out) {
  const auto surer = [](const ExpertPrediction& left, const ExpertPrediction& right) {
    return left.confidence != right.confidence ? left.confidence > right.confidence : left.expert < right.expert;
  };
  const auto end = std::partial_sort_copy(predictions.begin(), predictions.end(), out.begin(), out.end(), surer);
  return static_cast<size_t>(end - out.begin());
}

}  // namespace hypura
