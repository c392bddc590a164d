#include "residency/replay/routing_steps.h"

#include <algorithm>
#include <iterator>

namespace hypura {

namespace {

void choices(const RoutingTrace& trace, uint64_t token, uint32_t layer, std::vector<uint16_t>& out) {
  const auto row = std::span(trace.chosen).subspan((token * trace.layers + layer) * trace.used, trace.used);
  out.clear();
  std::ranges::copy_if(row, std::back_inserter(out), [](uint16_t expert) { return expert != RoutingTrace::kNone; });
}

}  // namespace

bool RoutingSteps::read(uint64_t token, uint32_t layer) {
  choices(trace_, token, layer - 1, before_);
  choices(trace_, token, layer, after_);
  return !before_.empty() && !after_.empty();
}

void teach(ExpertPredictor& predictor, const RoutingTrace& trace) {
  RoutingSteps steps(trace);
  for (uint64_t token = 0; token < trace.tokens(); ++token) {
    for (uint32_t layer = 1; layer < trace.layers; ++layer) {
      if (steps.read(token, layer)) {
        predictor.learn(layer - 1, steps.before(), steps.after());
      }
    }
  }
}

}  // namespace hypura
