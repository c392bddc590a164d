// A routing trace as predictors see it: what each token chose in a layer, and then in the next.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "hypura/routing.h"
#include "residency/expert_predictor.h"

namespace hypura {

// Not thread-safe. The trace must outlive the object.
class RoutingSteps {
 public:
  explicit RoutingSteps(const RoutingTrace& trace) : trace_(trace) {}

  // Goes to what the token chose in `layer`, which has one before it. False when the token did not pass both.
  bool read(uint64_t token, uint32_t layer);

  // Of the last step read: chosen in the layer before, and in the layer. Valid until the next read.
  std::span<const uint16_t> before() const { return before_; }
  std::span<const uint16_t> after() const { return after_; }

 private:
  const RoutingTrace& trace_;
  std::vector<uint16_t> before_;
  std::vector<uint16_t> after_;
};

// Teaches the predictor, which must be for a model of the trace's shape, all steps of the trace in their order.
void teach(ExpertPredictor& predictor, const RoutingTrace& trace);

}  // namespace hypura
