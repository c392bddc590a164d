#include "backend/worker_layers.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>

#include "tiers/direct_place.h"

namespace hypura {

namespace {

constexpr std::string_view kUp = ".ffn_up.weight";
constexpr std::string_view kDown = ".ffn_down.weight";
constexpr std::array<std::string_view, 3> kFfnParts = {kUp, ".ffn_gate.weight", kDown};

bool is_part(const TensorInfo& tensor) {
  return tensor.layer >= 0 && tensor.shape[2] == 1 &&
         std::ranges::any_of(kFfnParts, [&](std::string_view it) { return tensor.name.ends_with(it); });
}

// nullptr: the layer has none of that name.
const TensorInfo* part_of(const WorkerLayer& layer, std::string_view name) {
  const auto it = std::ranges::find_if(layer.parts, [&](const TensorInfo* part) { return part->name.ends_with(name); });
  return it == layer.parts.end() ? nullptr : *it;
}

std::vector<WorkerLayer> feed_forward_layers(const StreamLayout& layout) {
  std::map<int, WorkerLayer> layers;
  for (uint32_t item = 0; item < layout.dense.size(); ++item) {
    const TensorInfo& tensor = *layout.dense[item].tensor;
    if (!is_part(tensor)) {
      continue;
    }
    WorkerLayer& layer = layers[tensor.layer];
    layer.layer = tensor.layer;
    layer.dense = true;
    layer.items.push_back(item);
    layer.bytes += place_capacity(layout.dense[item].extent.length);
    if (std::ranges::find(layer.parts, &tensor) == layer.parts.end()) {
      layer.parts.push_back(&tensor);
    }
  }
  std::vector<WorkerLayer> whole;
  for (auto& [number, layer] : layers) {
    const TensorInfo* up = part_of(layer, kUp);
    const TensorInfo* down = part_of(layer, kDown);
    if (up != nullptr && down != nullptr) {
      layer.width = static_cast<uint32_t>(up->shape[0]);
      layer.result = static_cast<uint32_t>(down->shape[1]);
      whole.push_back(std::move(layer));
    }
  }
  return whole;
}

}  // namespace

std::vector<WorkerLayer> worker_layers(const StreamLayout& layout) {
  if (layout.expert_layers.empty()) {
    return feed_forward_layers(layout);
  }
  std::vector<WorkerLayer> layers;
  for (const ExpertLayer& it : layout.expert_layers) {
    WorkerLayer& layer = layers.emplace_back();
    layer.layer = it.layer;
    layer.experts = it.experts;
    layer.bytes = it.expert_bytes();
    for (const ExpertPart& part : it.parts) {
      layer.parts.push_back(part.tensor);
      layer.width = std::max(layer.width, static_cast<uint32_t>(part.tensor->shape[0]));
      layer.result = std::max(layer.result, static_cast<uint32_t>(part.tensor->shape[1]));
    }
  }
  return layers;
}

}  // namespace hypura
