// Which tensors are streamed, and the geometry of the places that their bytes are read into.
//
// A slot holds one expert of one layer: all its matrices, since a token that uses an expert uses all of them. A part of
// a slot, or a place in the ring, is one block larger than its bytes, so that a direct read lands in place: the data
// starts as far into its first block as it does on disk ("shift"). The CPU kernels need only the row stride to be
// regular, so nothing is copied.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/model.h"

namespace hypura {

// One expert matrix of a layer, as it lies in a slot.
struct ExpertPart {
  const TensorInfo* tensor = nullptr;
  uint64_t slice_bytes = 0;  // of one expert
  uint64_t place = 0;        // offset of its room in the slot, a multiple of kDirectAlignment
  uint64_t shift = 0;        // offset of the data in its room
  // The slices do not all start equally far into a block: each is read to its own shift, then moved to `shift`.
  bool moved = false;
  bool packed = false;  // it is read in the layout of fast_layout.h
};

struct ExpertLayer {
  int layer = 0;
  uint32_t experts = 0;
  std::vector<ExpertPart> parts;
};

// One matrix that the ring streams.
struct DenseItem {
  const TensorInfo* tensor = nullptr;
  uint64_t room = 0;    // bytes it takes in the ring
  uint64_t shift = 0;   // offset of the data in its place
  bool packed = false;  // as ExpertPart
};

struct StreamLayout {
  std::vector<ExpertLayer> expert_layers;  // ascending layers
  uint32_t experts = 0;                    // most in any layer
  uint64_t slot_stride = 0;                // bytes of a slot
  uint64_t expert_bytes = 0;               // of all experts, on disk
  std::vector<DenseItem> dense;            // in the order a forward pass is expected to use them
  uint64_t dense_bytes = 0;                // of all dense items, on disk
  uint64_t largest_room = 0;               // of the dense items
  uint64_t resident_bytes = 0;             // what is not streamed
  bool packed = false;                     // a repacked copy is read
  std::string pattern;                     // regular expression matching the names of all streamed tensors, no others

  bool streams(const TensorInfo& tensor) const;
};

// Whether a tensor is in the layout of fast_layout.h in a repacked copy of its model: where there is such a layout and
// the tensor is one that models stream. It depends on nothing but the tensor; what a certain model keeps resident all
// the same is read from the model itself.
bool is_packed(const TensorInfo& tensor);

// Lays out the streaming of `model`: routed experts if `experts`, the dense matrices of the layers and the output
// matrix if `dense`. The model must outlive the layout. A matrix whose name stands for a streamed role in one layer and
// for another in a second stays resident, so that the pattern is exact. Of MTP layers only experts are streamed.
// `packed`: a repacked copy is read.
StreamLayout lay_out(const Model& model, bool experts, bool dense, bool packed = false);

}  // namespace hypura
