#include "cli/inspect/placement_map.h"

#include <algorithm>
#include <array>
#include <utility>

namespace hypura {

namespace {

constexpr std::array kOrder = {TensorRole::kEmbedding, TensorRole::kNorm,         TensorRole::kAttention,
                               TensorRole::kRouter,    TensorRole::kRoutedExpert, TensorRole::kSharedExpert,
                               TensorRole::kDenseFfn,  TensorRole::kOutput,       TensorRole::kOther};

bool is_empty(const MapRow& row) {
  return std::all_of(row.cells.begin(), row.cells.end(), [](const TierBytes& cell) { return cell.total() == 0; });
}

}  // namespace

PlacementMap placement_map(const Plan& plan, int64_t layers) {
  PlacementMap map;
  map.layers = layers;
  for (const TensorRole role : kOrder) {
    map.rows.push_back({role, std::vector<TierBytes>(static_cast<size_t>(layers))});
  }
  for (const PlacedTensor& tensor : plan.tensors) {
    const TierBytes bytes = tier_bytes(tensor);
    if (tensor.layer < 0 || tensor.layer >= layers) {
      (tensor.role == TensorRole::kEmbedding ? map.before : map.after) += bytes;
      continue;
    }
    const auto row = std::find_if(map.rows.begin(), map.rows.end(),
                                  [&](const MapRow& candidate) { return candidate.role == tensor.role; });
    row->cells[static_cast<size_t>(tensor.layer)] += bytes;
  }
  std::erase_if(map.rows, is_empty);
  return map;
}

PlacementMap folded(const PlacementMap& map, size_t columns) {
  const size_t had = map.columns();
  const size_t per_column = columns == 0 ? 1 : std::max<size_t>(1, (had + columns - 1) / columns);
  PlacementMap fewer = map;
  fewer.layers_per_column = map.layers_per_column * static_cast<int64_t>(per_column);
  for (MapRow& row : fewer.rows) {
    std::vector<TierBytes> cells((had + per_column - 1) / per_column);
    for (size_t i = 0; i < row.cells.size(); ++i) {
      cells[i / per_column] += row.cells[i];
    }
    row.cells = std::move(cells);
  }
  return fewer;
}

const char* map_label(TensorRole role) {
  switch (role) {
    case TensorRole::kNorm:
      return "norms";
    case TensorRole::kRoutedExpert:
      return "experts";
    case TensorRole::kSharedExpert:
      return "shared";
    case TensorRole::kEmbedding:
    case TensorRole::kOutput:
    case TensorRole::kAttention:
    case TensorRole::kRouter:
    case TensorRole::kDenseFfn:
    case TensorRole::kOther:
      break;
  }
  return role_name(role);
}

}  // namespace hypura
