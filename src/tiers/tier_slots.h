// Memory in slots of one size, each filled with an expert from where it lies below: here RAM, filled from the model's
// files by direct reads.
//
// Who uses it knows slot numbers, fills under way and views. How an expert lies in a slot, and how its bytes get there,
// is the tier's own: the memory of a device, whose slots hold nothing but data, is filled otherwise.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "residency/layer_expert.h"
#include "storage/reader.h"
#include "support/memory/memory_region.h"
#include "tiers/slices.h"
#include "tiers/slot_layout.h"

namespace hypura {

// One matrix of a layer's experts in all slots: that of the expert in a slot begins at at(slot).
struct MatrixView {
  std::byte* slots = nullptr;
  uint64_t offset = 0;  // of the matrix in its slot
  uint64_t stride = 0;  // bytes from one slot to the next

  std::byte* at(uint32_t slot) const { return slots + slot * stride + offset; }
};

// Not thread-safe: the owner serialises. What was filled must have been waited for before the object goes.
class TierSlots {
 public:
  // An expert on its way into a slot.
  struct Fill {
    LayerExpert source;
    uint32_t slot = 0;
    ReadGroup reads = 0;
  };

  // Allocates `slots` slots for experts of `layers`, which `reader` reads. Both must outlive the object. Fails with
  // kBudget.
  static Result<std::unique_ptr<TierSlots>> create(std::span<const ExpertLayer> layers, Reader& reader, uint32_t slots);

  // Begins to fill `slot`, which nothing uses, with the expert. The fill must be waited for.
  Fill fill(uint32_t slot, LayerExpert source, Priority priority);

  // Whether a fill has ended, well or badly; never blocks.
  bool ended(const Fill& fill) { return reader_.finished(fill.reads); }

  // Blocks until a fill has ended; it is forgotten then. Fails as Reader::wait().
  Status wait(const Fill& fill) { return reader_.wait(fill.reads); }

  // Puts the data of a fill that was waited for, and has not failed, where the views say that they are.
  void realign(const Fill& fill);

  // Does not begin what has not begun. The fill has still to be waited for.
  void cancel(const Fill& fill) { reader_.cancel(fill.reads); }

  // Lets fills go on, without blocking.
  void poll() { reader_.poll(); }

  MatrixView view(uint32_t layer, uint32_t part) const {
    const SlotPlace& place = layout_.places(layer)[part];
    return {memory_.data(), place.begin + place.data_offset, layout_.stride()};
  }

 private:
  TierSlots(std::span<const ExpertLayer> layers, Reader& reader) : layers_(layers), reader_(reader), layout_(layers) {}
  std::byte* data(uint32_t slot) const { return memory_.data() + slot * layout_.stride(); }

  std::span<const ExpertLayer> layers_;
  Reader& reader_;
  SlotLayout layout_;
  MemoryRegion memory_;
  std::vector<ReadRequest> requests_;  // of the fill that begins
};

}  // namespace hypura
