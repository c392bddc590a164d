// Slots in RAM, filled from the model's files by direct reads. Any slot can hold an expert of any layer.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "storage/reader.h"
#include "support/memory/memory_region.h"
#include "support/memory/pages_ahead.h"
#include "tiers/slices.h"
#include "tiers/slot_layout.h"
#include "tiers/tier_slots.h"

namespace hypura {

// Not thread-safe: the owner serialises.
class RamSlots final : public TierSlots {
 public:
  // Allocates `slots` slots for experts of `layers`, which `reader` reads. Both must outlive the object. Fails with
  // kBudget.
  static Result<std::unique_ptr<RamSlots>> create(std::span<const ExpertLayer> layers, Reader& reader, uint32_t slots);

  // The same in memory of the caller's, which must outlive the object: bytes_for() it, from a multiple of
  // kDirectAlignment on.
  static std::unique_ptr<RamSlots> over(std::span<const ExpertLayer> layers, Reader& reader,
                                        std::span<std::byte> memory);

  ~RamSlots() override;  // no read is under way

  static uint64_t bytes_for(std::span<const ExpertLayer> layers, uint32_t slots) {
    return slots * SlotLayout(layers).stride();
  }

  Fill fill(uint32_t slot, LayerExpert source, Priority priority) override;
  bool ended(const Fill& fill) override { return reader_.finished(fill.reads); }
  void promote(const Fill& fill) override { reader_.promote(fill.reads); }
  Status wait(const Fill& fill) override { return reader_.wait(fill.reads); }
  void realign(const Fill& fill) override;
  void cancel(const Fill& fill) override { reader_.cancel(fill.reads); }
  void poll() override { reader_.poll(); }
  // Where the memory is its own.
  bool resizes() const override { return own_.size() > 0; }
  void move(uint32_t from, uint32_t to) override;
  void resize(uint32_t slots) override;

  MatrixView view(uint32_t layer, uint32_t part) const override {
    const SlotPlace& place = layout_.places(layer)[part];
    return {memory_, place.begin + place.data_offset, layout_.stride()};
  }

 private:
  RamSlots(std::span<const ExpertLayer> layers, Reader& reader) : layers_(layers), reader_(reader), layout_(layers) {}
  std::byte* data(uint32_t slot) const { return memory_ + slot * layout_.stride(); }

  std::span<const ExpertLayer> layers_;
  Reader& reader_;
  SlotLayout layout_;
  MemoryRegion own_;
  std::unique_ptr<PagesAhead> ahead_;  // of some of own_
  std::byte* memory_ = nullptr;
  uint64_t bytes_ = 0;                 // from there on, of slots that have memory
  std::vector<ReadRequest> requests_;  // of the fill that begins
};

}  // namespace hypura
