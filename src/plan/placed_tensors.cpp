#include "plan/placed_tensors.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "plan/gpu_share.h"

namespace hypura {

namespace {

PlacedTensor placed(const TensorInfo& tensor, Way way, Tier tier, double share) {
  PlacedTensor it;
  it.name = tensor.name;
  it.type = type_name(tensor.type);
  it.role = tensor.role;
  it.layer = tensor.layer;
  it.bytes = tensor.extent.length;
  it.tier = tier;
  it.way = way;
  it.ram_share = share;
  return it;
}

// Of a matrix in ranges of rows, some may be pinned. `first`: of the model's tensors.
void place_dense(const StreamLayout& layout, const DensePlacement& dense, const TensorInfo& first,
                 std::vector<PlacedTensor>& tensors) {
  for (size_t i = 0; i < dense.pinned.size(); ++i) {
    const DenseItem& item = layout.dense[i];
    if (!dense.pinned[i]) {
      PlacedTensor& it = tensors[static_cast<size_t>(item.tensor - &first)];
      const double streamed = static_cast<double>(item.rows.rows) / static_cast<double>(item.tensor->shape[1]);
      it.way = Way::kRing;
      it.tier = dense.streamed_from;
      it.ram_share = std::max(0.0, it.ram_share - streamed);
    }
  }
}

}  // namespace

std::vector<PlacedTensor> placed_tensors(const Model& model, const StreamLayout& layout, const Placement& placement,
                                         const GpuLayers* layers) {
  const ExpertPlacement& experts = placement.experts;
  std::vector<PlacedTensor> tensors;
  std::optional<GpuLayers> its_layers = layers != nullptr ? std::optional(*layers) : std::nullopt;
  if (layers == nullptr && placement.gpu) {
    its_layers = GpuLayers{static_cast<uint32_t>(model.layers) + 1 - placement.gpu->host_layers, true};
  }
  for (const TensorInfo& tensor : model.tensors) {
    // A GPU's model has its table of embeddings in RAM.
    const bool on_device = its_layers && on_gpu(model, *its_layers, tensor);
    tensors.push_back(placed(tensor, Way::kPinned, on_device ? Tier::kDevice : Tier::kRam, on_device ? 0 : 1));
    tensors.back().device_share = on_device ? 1 : 0;
  }
  for (const TensorInfo& tensor : model.unused) {
    tensors.push_back(placed(tensor, Way::kUnused, Tier::kDisk, 0));
  }
  place_dense(layout, placement.dense, *model.tensors.data(), tensors);
  const TensorInfo* first = model.tensors.data();
  for (const TableItem& table : layout.tables) {
    if (placement.tables.streamed && !table.is_output) {
      tensors[static_cast<size_t>(table.tensor - first)] =
          placed(*table.tensor, Way::kRows, placement.tables.streamed_from, 0);
    }
  }
  for (size_t i = 0; i < experts.layer_slots.size(); ++i) {
    const ExpertLayer& layer = layout.expert_layers[i];
    for (const ExpertPart& part : layer.parts) {
      const double share = static_cast<double>(experts.layer_slots[i]) / layer.experts;
      const double there = placement.gpu ? static_cast<double>(placement.gpu->layer_slots[i]) / layer.experts : 0;
      const double in_ram = std::min(share, 1 - there);
      const Tier kept_on = there < 1 ? experts.slots_on : Tier::kDevice;
      PlacedTensor& tensor = tensors[static_cast<size_t>(part.tensor - first)];
      tensor = placed(*part.tensor, Way::kSlots, in_ram + there < 1 ? experts.streamed_from : kept_on, in_ram);
      tensor.device_share = there;
    }
  }
  return tensors;
}

const char* to_string(Way way) {
  switch (way) {
    case Way::kPinned:
      return "pinned";
    case Way::kSlots:
      return "slots";
    case Way::kRing:
      return "ring";
    case Way::kRows:
      return "rows";
    case Way::kUnused:
      return "unused";
  }
  return "unknown";
}

const char* to_string(Limit limit) {
  switch (limit) {
    case Limit::kDisk:
      return "disk";
    case Limit::kCompute:
      return "compute";
    case Limit::kUpload:
      return "upload";
  }
  return "unknown";
}

std::vector<LayerShare> layer_shares(const std::vector<PlacedTensor>& tensors) {
  std::map<int, LayerShare> by_layer;
  for (const PlacedTensor& tensor : tensors) {
    if (tensor.layer < 0 || tensor.way == Way::kUnused) {
      continue;
    }
    LayerShare& share = by_layer[tensor.layer];
    share.layer = tensor.layer;
    const double in_memory = tensor.ram_share + tensor.device_share;
    const auto kept = static_cast<uint64_t>(std::llround(static_cast<double>(tensor.bytes) * in_memory));
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
