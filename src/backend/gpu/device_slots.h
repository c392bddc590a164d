// Slots in memory that a device computes with: of each matrix of each layer one tensor [ne0, ne1, slots], as MUL_MAT_ID
// takes it. Filled from the tier below, in the order of the device's stream, so that no kernel meets a slot half
// filled.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "backend/gpu/device_memory.h"
#include "backend/gpu/expert_room.h"
#include "backend/gpu/expert_source.h"
#include "backend/gpu/gpu_device.h"
#include "backend/gpu/slot_pool.h"
#include "tiers/tier_slots.h"

namespace hypura {

class SlotPrefetch;

// Not thread-safe: the owner serialises.
class DeviceSlots final : public TierSlots {
 public:
  // Allocates slots[i] slots for layers[i]; a layer may have none. Those of layers that `pool` has lie there, with what
  // they borrow; nullptr: there is none. The references must outlive the object. Fails with kBudget.
  static Result<std::unique_ptr<DeviceSlots>> create(std::span<const ExpertLayer> layers,
                                                     std::span<const uint32_t> slots, GpuDevice& device,
                                                     ExpertSource& source, const SlotPool* pool = nullptr);

  // Fills that begin together go to the tier below together, when the first of them is waited for: what is missing
  // there is read at once.
  Fill fill(uint32_t slot, LayerExpert source, Priority priority) override;
  bool ended(const Fill& /*fill*/) override { return false; }
  void promote(const Fill& /*fill*/) override {}  // all that is asked for comes together
  // Fails as ExpertSource::run(). All fills of a layer must be waited for before the next layer's begin.
  Status wait(const Fill& fill) override;
  void realign(const Fill& /*fill*/) override {}  // slots hold nothing but data
  void cancel(const Fill& /*fill*/) override { cancelled_ = true; }
  void poll() override {}
  MatrixView view(uint32_t layer, uint32_t part) const override;

  // By part: the layer's matrices over its slots, in the order of place().
  std::span<ggml_tensor* const> matrices(uint32_t layer) const { return matrices_[layer]; }
  // Which expert of matrices() a slot is: with a pool others' lie there too.
  uint32_t place(uint32_t layer, uint32_t slot) const { return pooled(layer) ? pool_->place(layer, slot) : slot; }

  // Begins to lower what the layer has in slots from number `slots` on, which are given back: nothing is there any
  // more.
  void give_up(uint32_t layer, uint32_t slots);

  // Fills from now on are copies of what lies on the device: all experts of their layer, by part, under their own
  // numbers. What they evict is gone: to go down it would have to be waited for. Until stop_copying().
  void copy_from(std::span<ggml_tensor* const> whole) { whole_ = whole; }
  void stop_copying() { copy_from({}); }

  // Begins to lower `experts` of the layer, which lie in `whole` under their own numbers and have no slot, until what
  // overwrites them there.
  void lower(uint32_t layer, std::span<ggml_tensor* const> whole, std::span<const uint32_t> experts);

  // What it has brought is from now on copied from there, and not brought from the tier below; nullptr: nothing is. It
  // must outlive the last fill.
  void prefetch_by(SlotPrefetch* prefetch) { prefetch_ = prefetch; }

  // What the fills to come are for.
  void set_decode(bool decode) { decode_ = decode; }

 private:
  DeviceSlots(ggml_backend_t stream, ExpertSource& source, const SlotPool* pool)
      : stream_(stream), source_(source), pool_(pool) {}

  bool pooled(uint32_t layer) const { return pool_ != nullptr && pool_->has(layer); }
  Status bring();

  ggml_backend_t stream_;
  ExpertSource& source_;
  const SlotPool* pool_;
  SlotPrefetch* prefetch_ = nullptr;
  ggml_context_ptr context_;
  std::vector<ExpertRoom> rooms_;  // of layers that have slots
  std::vector<std::vector<ggml_tensor*>> matrices_;
  std::vector<std::vector<uint32_t>> holds_;  // by layer and place: the expert whose bytes are there; or kNoExpert

  std::span<ggml_tensor* const> whole_;  // empty: fills come from the tier below

  // Of the fills that began and were not all waited for.
  bool decode_ = false;
  bool cancelled_ = false;
  bool begun_ = false;
  size_t waited_ = 0;
  uint32_t layer_ = 0;
  std::vector<UploadItem> items_;
  Status outcome_;
};

}  // namespace hypura
