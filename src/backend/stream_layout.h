// Which tensors are streamed.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "model/model.h"
#include "tiers/slices.h"

namespace hypura {

struct StreamLayout {
  std::vector<ExpertLayer> expert_layers;  // ascending layers
  uint32_t experts = 0;                    // most in any layer
  uint32_t experts_used = 0;               // of a layer, by a token
  uint64_t expert_bytes = 0;               // of all experts, on disk
  std::vector<DenseItem> dense;            // in the order a pass is expected to use them, rows ascending
  uint64_t dense_bytes = 0;                // of all dense items, on disk
  std::vector<TableItem> tables;           // of which rows are looked up
  uint64_t table_bytes = 0;                // of those that are no dense items too, on disk
  uint64_t resident_bytes = 0;             // what is not streamed
  bool repacked = false;                   // a repacked copy is read
  uint32_t workers = 0;                    // that compute experts beside this machine
  std::vector<int> never_repacked;         // ggml types that are not repacked for prompts (backend/repack_buffer.h)
  std::string pattern;                     // regular expression matching the names of all streamed tensors, no others

  bool streams(const TensorInfo& tensor) const;
};

// Regular expression matching the names of the layout's tables, no others; empty: it has none.
std::string table_pattern(const StreamLayout& layout);

// Whether a tensor is repacked (repacked_layout.h) in a repacked copy of its model: where there is such a layout and
// the tensor is one that models stream. It depends on nothing but the tensor; what a certain model keeps resident all
// the same is read from the model itself.
bool is_repacked(const TensorInfo& tensor);

// Where something else computes the last layers: of those before, and no others, something is streamed.
struct StreamedLayers {
  int64_t dense = std::numeric_limits<int64_t>::max();    // dense matrices of the layers before this one
  int64_t experts = std::numeric_limits<int64_t>::max();  // routed experts
  bool output = true;                                     // the output matrix, where dense ones are
  bool alike = false;  // nothing that would not be streamed if all layers were, though only others forbid it
};

// Tables whose rows are looked up one by one.
struct StreamedTables {
  bool lookups = false;                // those that are nothing but tables
  bool output = false;                 // among dense matrices, the token embeddings that are the output matrix too
  std::optional<uint64_t> cache = {};  // bytes of rows that each keeps; none: as many as its size suggests
};

// Lays out the streaming of `model`: routed experts if `experts`, the dense matrices of the layers and the output
// matrix if `dense`. The model must outlive the layout. A matrix whose name stands for a streamed role in one layer and
// for another in a second stays resident, so that the pattern is exact. Of MTP layers only experts are streamed.
// `repacked`: a repacked copy is read. `of`: not of all layers. Dense matrices of more than `range_bytes` are cut into
// ranges of rows. Where MTP layers multiply by the token embeddings these stay.
StreamLayout lay_out(const Model& model, bool experts, bool dense, bool repacked = false, StreamedLayers of = {},
                     uint64_t range_bytes = kWholeMatrix, const StreamedTables& tables = {});

}  // namespace hypura
