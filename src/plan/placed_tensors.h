// Where a placement puts each tensor of a model.
#pragma once

#include <vector>

#include "backend/stream_layout.h"
#include "hypura/plan.h"
#include "model/model.h"
#include "plan/plan_overrides.h"

namespace hypura {

// In file order, as the model has them, those unused last. `layout`: of all that may be streamed, as the placement was
// made for. `layers`: that a GPU computes, beside the processors.
std::vector<PlacedTensor> placed_tensors(const Model& model, const StreamLayout& layout, const Placement& placement,
                                         const GpuLayers* layers = nullptr);

// What of each layer stays in memory, by ascending layer; tensors outside the layers, and unused
// ones, are left out.
std::vector<LayerShare> layer_shares(const std::vector<PlacedTensor>& tensors);

}  // namespace hypura
