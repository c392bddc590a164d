// Memory in slots of one size, each filled with an expert from where it lies below: RAM from the model's files
// (ram_slots.h), the memory of a device from RAM (backend/gpu/device_slots.h).
//
// Who uses it knows slot numbers, fills under way and views. How an expert lies in a slot, and how its bytes get there,
// is the tier's own.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hypura/result.h"
#include "residency/layer_expert.h"
#include "storage/reader.h"

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
    ReadGroup reads = 0;  // of slots that are filled by reads
  };

  virtual ~TierSlots() = default;

  // Begins to fill `slot`, which nothing uses, with the expert. The fill must be waited for.
  virtual Fill fill(uint32_t slot, LayerExpert source, Priority priority) = 0;

  // It is wanted: from now on it comes as one that was begun with Priority::kDemand.
  virtual void promote(const Fill& fill) = 0;

  // Whether a fill has ended, well or badly; never blocks.
  virtual bool ended(const Fill& fill) = 0;

  // Blocks until a fill has ended; it is forgotten then. Fails as Reader::wait().
  virtual Status wait(const Fill& fill) = 0;

  // Puts the data of a fill that was waited for, and has not failed, where the views say that they are.
  virtual void realign(const Fill& fill) = 0;

  // Does not begin what has not begun. The fill has still to be waited for.
  virtual void cancel(const Fill& fill) = 0;

  // Lets fills go on, without blocking.
  virtual void poll() = 0;

  // Whether there can be fewer slots, whose memory then goes back to the system: only then what follows may be called,
  // and only when no fill is under way.
  virtual bool resizes() const { return false; }
  // Copies all that is in a slot to another.
  virtual void move(uint32_t /*from*/, uint32_t /*to*/) {}
  // The first `slots` slots have memory from now on, at most as many as there were at first; the others have none.
  virtual void resize(uint32_t /*slots*/) {}

  // Where the tier's kernels find a matrix of the layer's experts: addresses of its own memory, which only those of RAM
  // may be read at.
  virtual MatrixView view(uint32_t layer, uint32_t part) const = 0;
};

}  // namespace hypura
