// Slots that layers borrow where whole layers pass through a device's memory (backend/gpu/slot_pool.h): of two
// stretches, each as large as the largest layer, nothing is used while tokens are decoded.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hypura {

// One layer with experts of a device.
struct BorrowingLayer {
  uint32_t experts = 0;
  uint32_t used = 0;    // that a token takes
  uint32_t slots = 0;   // of its own; all of its experts: it never passes through
  bool pooled = false;  // its slots and the two stretches lie in the same tensors
};

// Of each stretch so many places are left for what is copied ahead of a layer, which takes `used` experts of `experts`.
uint32_t landing_places(uint32_t experts, uint32_t used);

// How many slots each layer borrows: the places of both stretches, but for those, are divided evenly among the pooled
// layers that pass through, and none has more than it lacks. None where a layer passes through even for one token,
// since it has fewer slots than that takes.
std::vector<uint32_t> borrowed_slots(std::span<const BorrowingLayer> layers);

}  // namespace hypura
