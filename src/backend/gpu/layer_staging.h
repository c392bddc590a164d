// Whole layers on their way through a device, for passes that need nearly all of their experts: two stretches of its
// memory, each as large as the largest layer. While one is computed with, the next layer comes into the other.
//
// All experts are there under their own numbers, so that nothing of the graph changes but where the matrices lie.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "backend/gpu/device_memory.h"
#include "backend/gpu/device_slots.h"
#include "backend/gpu/expert_room.h"
#include "backend/gpu/expert_source.h"
#include "backend/gpu/gpu_device.h"
#include "backend/streamed_weights.h"
#include "tiers/expert_store.h"

namespace hypura {

// Not thread-safe: the owner serialises.
class LayerStaging {
 public:
  // For those of `layers` that are in `ours` and have slots for fewer experts than they have. `slots` and `store`, of
  // the experts in them, and the other references must outlive the object. The two stretches are those of `pool`, of
  // each the last `landing` places for copies ahead; nullptr: of their own. Fails with kBudget.
  static Result<std::unique_ptr<LayerStaging>> create(std::span<const ExpertLayer> layers, const GpuLayerRange& ours,
                                                      const DeviceSlots& slots, const ExpertStore& store,
                                                      GpuDevice& device, ExpertSource& source,
                                                      const SlotPool* pool = nullptr, uint32_t landing = 0);

  // Begins to bring what the slots lack of `layer`. Where the device computes in the machine's memory its work goes on
  // meanwhile, and with what lies there must have ended: synchronized() follows. Fails with kIo.
  Status bring(uint32_t layer, bool decode);
  // For what is computed from now on matrices() of it hold all experts: what the slots have is copied on the device, in
  // the order of the stream that computes. On the stream of copies it would wait, copy by copy, for a kernel of a
  // product to leave it room, and what comes from below with it. used() must follow what computes with them.
  void complete(uint32_t layer);
  void used(uint32_t layer);

  // The computing stream was synchronised: what used() was said of has been.
  void synchronized();

  // For what is computed from now on `experts` of `layer`, which all have slots, are in matrices() of it under their
  // own numbers: copied on the device. used() must follow what computes with them.
  void gather(uint32_t layer, std::span<const uint32_t> experts);

  // What is computed from now on no longer uses either stretch: what comes there comes behind all that was begun.
  void vacate();

  // Of which half bring() makes use for `layer`: of 0 and 1. What lies there is gone then.
  size_t half_of(uint32_t layer) const { return half_of_[layer]; }
  // By part: all experts of a layer that complete() was called for last of its half.
  std::span<ggml_tensor* const> matrices(uint32_t layer) const { return matrices_[layer]; }

  // How many of the last layer's experts came from the tier below.
  size_t missed() const { return missed_; }

  // Places of experts for copies ahead.
  struct Landing {
    std::span<ggml_tensor* const> matrices;  // by part
    uint32_t first = 0;
    uint32_t count = 0;
  };

  // Room for some experts of `layer`, which is staged at times: for what the copy stream copies from now on. What lay
  // there is gone. used() must follow what reads them.
  Landing make_room(uint32_t layer);

 private:
  // A stretch, and when what was brought has landed and has been used.
  struct Half {
    ExpertRoom room;
    ggml_backend_event_ptr landed;
    ggml_backend_event_ptr used;
    bool in_use = false;
  };

  LayerStaging(std::span<const ExpertLayer> layers, const DeviceSlots& slots, const ExpertStore& store,
               GpuDevice& device, ExpertSource& source, const SlotPool* pool, uint32_t landing)
      : layers_(layers),
        slots_(slots),
        store_(store),
        device_(device),
        source_(source),
        pool_(pool),
        landing_(landing) {}
  uint64_t describe(const GpuLayerRange& ours);
  Status place(uint64_t most);
  bool overlaps() const { return device_.copy_stream() != device_.stream(); }
  void wait_until_used(Half& half);

  std::span<const ExpertLayer> layers_;
  const DeviceSlots& slots_;
  const ExpertStore& store_;
  GpuDevice& device_;
  ExpertSource& source_;
  const SlotPool* pool_;
  uint32_t landing_;
  ggml_context_ptr context_;
  std::array<Half, 2> halves_;
  std::vector<std::vector<ggml_tensor*>> matrices_;  // by layer and part; none of those that are never staged
  std::vector<size_t> half_of_;                      // by layer
  std::vector<UploadItem> items_;
  size_t missed_ = 0;
};

}  // namespace hypura
