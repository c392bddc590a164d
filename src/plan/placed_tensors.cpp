#include "plan/placed_tensors.h"

#include <cmath>
#include <map>

#include "ggml.h"

namespace hypura {

namespace {

PlacedTensor placed(const TensorInfo& tensor, const char* way, double share) {
  PlacedTensor it;
  it.name = tensor.name;
  it.type = ggml_type_name(static_cast<ggml_type>(tensor.type));
  it.role = tensor.role;
  it.layer = tensor.layer;
  it.bytes = tensor.extent.length;
  it.tier = share < 1 ? Tier::kDisk : Tier::kRam;
  it.way = way;
  it.ram_share = share;
  return it;
}

}  // namespace

std::vector<PlacedTensor> placed_tensors(const Model& model, const Chosen& chosen) {
  std::vector<PlacedTensor> tensors;
  for (const TensorInfo& tensor : model.tensors) {
    tensors.push_back(placed(tensor, "pinned", 1));
  }
  for (const TensorInfo& tensor : model.unused) {
    tensors.push_back(placed(tensor, "unused", 0));
  }
  const StreamLayout layout = lay_out(model, true, true);
  const TensorInfo* first = model.tensors.data();
  const Placement& placement = chosen.placement();
  for (size_t i = 0; i < placement.pinned.size(); ++i) {
    if (!placement.pinned[i]) {
      const TensorInfo& tensor = *layout.dense[i].tensor;
      tensors[static_cast<size_t>(&tensor - first)] = placed(tensor, "ring", 0);
    }
  }
  if (!streams_experts(placement.mode)) {
    return tensors;
  }
  const std::vector<uint32_t> slots = layer_slots(layout, chosen.problem, placement);
  for (size_t i = 0; i < slots.size(); ++i) {
    const ExpertLayer& layer = layout.expert_layers[i];
    for (const ExpertPart& part : layer.parts) {
      tensors[static_cast<size_t>(part.tensor - first)] =
          placed(*part.tensor, "slots", static_cast<double>(slots[i]) / layer.experts);
    }
  }
  return tensors;
}

std::vector<LayerShare> layer_shares(const std::vector<PlacedTensor>& tensors) {
  std::map<int, LayerShare> by_layer;
  for (const PlacedTensor& tensor : tensors) {
    if (tensor.layer < 0 || tensor.way == "unused") {
      continue;
    }
    LayerShare& share = by_layer[tensor.layer];
    share.layer = tensor.layer;
    const auto kept = static_cast<uint64_t>(std::llround(static_cast<double>(tensor.bytes) * tensor.ram_share));
    if (tensor.role == TensorRole::kRoutedExpert) {
      share.expert_bytes += tensor.bytes;
      share.expert_kept += kept;
    } else {
      share.dense_bytes += tensor.bytes;
      share.dense_kept += kept;
    }
  }
  std::vector<LayerShare> shares;
  shares.reserve(by_layer.size());
  for (const auto& [layer, share] : by_layer) {
    shares.push_back(share);
  }
  return shares;
}

}  // namespace hypura
