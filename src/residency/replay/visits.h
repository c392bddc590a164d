// A trace as the cache sees it: for each pass and layer the experts asked for, each once.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "hypura/routing.h"
#include "residency/expert_ranking.h"

namespace hypura {

struct Use {
  uint16_t expert = 0;
  uint32_t rows = 0;  // tokens of the pass that chose it
};

// A pass in one layer.
struct Visit {
  uint32_t layer = 0;
  bool decode = false;
  std::span<const Use> uses;  // by ascending expert
  PassChoice choice;          // of the tokens that the layer evaluated
};

// Immutable; the visits point into it.
class Visits {
 public:
  explicit Visits(const RoutingTrace& trace);
  Visits(const Visits&) = delete;
  Visits& operator=(const Visits&) = delete;

  // In the order of the passes, and of the layers in each. Layers without a token are left out.
  const std::vector<Visit>& all() const { return visits_; }

 private:
  std::vector<Use> uses_;
  std::vector<uint16_t> chosen_;  // of the tokens that passed a layer, visit by visit
  std::vector<Visit> visits_;
};

}  // namespace hypura
