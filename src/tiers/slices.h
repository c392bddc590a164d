// What moves between disk and memory: one expert of a layer with all its matrices; or a dense matrix, a large one in
// ranges of its rows.
#pragma once

#include <cstdint>
#include <vector>

#include "model/model.h"
#include "tiers/row_ranges.h"

namespace hypura {

// One matrix of a layer's experts.
struct ExpertPart {
  const TensorInfo* tensor = nullptr;
  uint64_t slice_bytes = 0;  // of one expert
  bool repacked = false;     // on disk it is repacked already, see backend/repacked_layout.h
};

// The experts of one layer, on disk.
struct ExpertLayer {
  int layer = 0;
  uint32_t experts = 0;
  std::vector<ExpertPart> parts;

  // Of one expert, all its matrices.
  uint64_t expert_bytes() const {
    uint64_t bytes = 0;
    for (const ExpertPart& part : parts) {
      bytes += part.slice_bytes;
    }
    return bytes;
  }
};

// Rows of a dense matrix, all or some (tiers/row_ranges.h), that are pinned or pass through the ring together; or all
// of several matrices, one for each head, in one tensor.
struct DenseItem {
  const TensorInfo* tensor = nullptr;
  bool repacked = false;  // as ExpertPart
  RowRange rows;
  Extent extent;  // on disk
};

// A table of which a pass uses some rows: they are looked up one by one (tiers/table_rows.h).
struct TableItem {
  const TensorInfo* tensor = nullptr;
  uint32_t slots = 1;      // rows that the cache holds
  bool is_output = false;  // it is the output matrix too, and among the dense items
  bool by_token = false;   // a row for each token of the vocabulary, which tells what will be looked up
};

inline DenseItem dense_item(const TensorInfo& tensor, const RowRange& rows) {
  const Extent& whole = tensor.extent;
  const uint64_t row = whole.length / static_cast<uint64_t>(tensor.shape[1]);
  return {&tensor,
          false,
          rows,
          {whole.file, whole.offset + static_cast<uint64_t>(rows.first) * row, static_cast<uint64_t>(rows.rows) * row}};
}

}  // namespace hypura
