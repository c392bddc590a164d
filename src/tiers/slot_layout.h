// How an expert lies in a slot of RAM: each matrix in a place of its own (direct_place.h).
//
// A slot holds one expert of one layer with all its matrices, since a token that uses an expert uses all of them. Any
// slot can hold an expert of any layer. Kernels need the slots to be equally far apart and nothing else, so that what
// was read is computed with where it lies.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tiers/slices.h"

namespace hypura {

// Where a matrix lies in a slot.
struct SlotPlace {
  uint64_t begin = 0;        // of its place in the slot, a multiple of kDirectAlignment
  uint64_t data_offset = 0;  // of the data in the place
  // The layer's slices are not all equally far into a block on disk: each is read to where it can be, and then moved to
  // data_offset.
  bool needs_realign = false;
};

// Immutable.
class SlotLayout {
 public:
  explicit SlotLayout(std::span<const ExpertLayer> layers);

  // Bytes from one slot to the next: enough for an expert of any layer.
  uint64_t stride() const { return stride_; }

  // By part of the layer.
  std::span<const SlotPlace> places(uint32_t layer) const { return places_[layer]; }

 private:
  std::vector<std::vector<SlotPlace>> places_;  // [layer][part]
  uint64_t stride_ = 0;
};

}  // namespace hypura
