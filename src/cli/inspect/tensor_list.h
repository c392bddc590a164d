// Every tensor of a model with the place it gets.
#pragma once

#include <string>
#include <vector>

#include "cli/inspect/facts.h"

namespace hypura {

// One tensor as it is listed.
struct TensorLine {
  const TensorInfo* tensor = nullptr;    // of the model; never null
  const PlacedTensor* placed = nullptr;  // of the plan; null without one
  std::string shape;                     // "7168 x 2048 x 384"; dimensions of 1 at the end left out
};

// In file order.
std::vector<TensorLine> tensor_lines(const InspectView& view);

// Name, role, type, shape, size and place, in columns; for each tensor a line.
std::string tensor_list(const InspectView& view);

}  // namespace hypura
