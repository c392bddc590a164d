// Where a placement puts each tensor of a model.
#pragma once

#include <vector>

#include "hypura/plan.h"
#include "model/model.h"

namespace hypura {

// In file order, as the model has them, those unused last.
std::vector<PlacedTensor> placed_tensors(const Model& model, const Placement& placement);

// What of each layer stays in memory, by ascending layer; tensors outside the layers, and unused
// ones, are left out.
std::vector<LayerShare> layer_shares(const std::vector<PlacedTensor>& tensors);

}  // namespace hypura
