// One expert of one layer.
#pragma once

#include <cstdint>

namespace hypura {

// Layers are counted as in RoutingTrace: those that have experts, ascending from 0.
struct LayerExpert {
  uint32_t layer = 0;
  uint32_t expert = 0;

  bool operator==(const LayerExpert&) const = default;
};

}  // namespace hypura
