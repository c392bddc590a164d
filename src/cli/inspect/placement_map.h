// The map of a plan: groups of tensors against layers, each cell with its bytes by tier. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cli/inspect/facts.h"

namespace hypura {

// One group of tensors in all layers.
struct MapRow {
  TensorRole role = TensorRole::kOther;
  std::vector<TierBytes> cells;  // one a column; without bytes where a layer has no such tensor
};

struct PlacementMap {
  int64_t layers = 0;
  int64_t layers_per_column = 1;
  std::vector<MapRow> rows;  // in the order in which a layer uses them; only groups that some layer has
  TierBytes before;          // the embedding, used before the first layer
  TierBytes after;           // the output and what else is outside the layers

  size_t columns() const { return rows.empty() ? 0 : rows.front().cells.size(); }
};

// One column a layer. Tensors of a layer beyond `layers` count as outside.
PlacementMap placement_map(const Plan& plan, int64_t layers);

// The same with as many neighbouring layers put into one column as it takes to have at most `columns` of them.
PlacementMap folded(const PlacementMap& map, size_t columns);

// "attention", "experts", ...: shorter than role_name, for the margin of a map.
const char* map_label(TensorRole role);

// The map in letters, with a legend, in at most 80 columns: R RAM, G device, D disk, 0 to 9 tenths of it not on disk,
// '.' no such tensor. `colour` adds terminal colours to the letters. Ends with a line end; empty without layers.
std::string terminal_map(const PlacementMap& map, bool colour);

}  // namespace hypura
