// The dense weights of a model in RAM: those that are pinned, and those that pass through the ring.
//
// The ring is filled ahead of use, in an order that it learns (residency/weight_ring.h), as far as it has capacity.
// What was acquired stays where it is until release(); then the reads go on.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "residency/weight_ring.h"
#include "storage/reader.h"
#include "support/memory/memory_region.h"
#include "tiers/slices.h"
#include "tiers/store_stats.h"

namespace hypura {

// Not thread-safe: the owner serialises.
class DenseStore {
 public:
  // Allocates and fills the memory of the weights that stay, by item those that are true in `pinned`, and allocates the
  // ring (`ring_bytes`, unused and not allocated when everything stays) and begins to fill it. `items`, `reader` and
  // `stats` must outlive the object. `before_blocking` is called before the calling thread is put to sleep until a read
  // has ended. Fails with kBudget, and with kIo when a weight cannot be read.
  static Result<std::unique_ptr<DenseStore>> create(std::span<const DenseItem> items, Reader& reader, StoreStats& stats,
                                                    const std::vector<bool>& pinned, uint64_t ring_bytes,
                                                    std::function<void()> before_blocking);

  ~DenseStore();  // ends what is under way
  DenseStore(const DenseStore&) = delete;
  DenseStore& operator=(const DenseStore&) = delete;

  // From now on these items are pinned, which must be some of those that were at first, and the ring has `ring_bytes`
  // for the others; 0 where all are pinned. The memory of the rest goes back to the system. What is pinned anew stays
  // as it passes through the ring the next time, so that nothing is read for it; when all do the ring is gone. Only
  // when nothing is in use. Fails with kBudget, when there is no ring any more but what it can do without.
  Status keep(const std::vector<bool>& pinned, uint64_t ring_bytes);

  // Takes `bytes` for what keep_as_used() pins, in the place of those that it took before: what was pinned then passes
  // through the ring again. Nothing else may be pinned, or in use. Fails with kBudget, without any room.
  Status take_room(uint64_t bytes);

  // From now on `items` are expected to be used, in their order in the file, and no others: the ring reads ahead what
  // is not pinned of them. The first of `items` that the room holds are pinned as they pass through the ring the next
  // time; what is pinned already stays where these leave it room. Others may be acquired all the same. Only when
  // nothing is in use, after take_room().
  void keep_as_used(std::span<const uint32_t> items);

  // Bytes that the ring has now.
  uint64_t ring_bytes() const { return ring_ == nullptr ? 0 : ring_->capacity(); }

  // The item's data where it is pinned, else nullptr.
  const std::byte* pinned(uint32_t item) const { return pinned_data_[item]; }

  // Whether the item is pinned, or in the ring and has arrived, well or badly. Lets reads go on; never blocks.
  bool ready(uint32_t item);

  // The item's data, which may be used until release(). Blocks until it has arrived; one that the ring does not hold
  // makes it start over there, so that what is not ready may be acquired only when nothing is in use. Fails with kIo
  // when it could not be read; then nothing is in use any more, and it may be acquired again.
  Result<std::byte*> acquire(uint32_t item);

  // What was acquired is not used any more: its places are free, and the ring is filled on.
  void release();

 private:
  // A place of the ring, from the beginning of its read to its release.
  struct Place {
    uint32_t item = 0;
    uint64_t offset = 0;
    ReadGroup read = 0;  // 0 once waited for
  };

  DenseStore(std::span<const DenseItem> items, Reader& reader, StoreStats& stats,
             std::function<void()> before_blocking);

  Status read_pinned(const std::vector<bool>& pinned);
  bool is_streamed(uint32_t item) const { return pinned_data_[item] == nullptr; }
  std::vector<bool> streamed() const;
  std::vector<uint64_t> capacities() const;  // by item, of its place
  void unpin(uint32_t item);
  void pin_from_ring(uint32_t item);
  std::vector<bool> first_that_room_holds(std::span<const uint32_t> items) const;
  void find_places(const std::vector<bool>& chosen);
  void end_ring();
  Status make_ring(uint64_t bytes);
  void take_memory(MemoryRegion memory);
  void fill_ring();
  void restart_ring_at(uint32_t item);
  void end_reads();
  Place* place_of(uint32_t item);
  const Extent& extent(uint32_t item) const { return items_[item].extent; }

  std::span<const DenseItem> items_;
  Reader& reader_;
  StoreStats& stats_;
  std::function<void()> before_blocking_;
  MemoryRegion pinned_;
  uint64_t first_ring_bytes_ = 0;        // of create()
  uint64_t room_ = 0;                    // of it, for what is pinned as it is used
  std::vector<std::byte*> place_;        // by item: where it is read to to be pinned; nullptr: it never is
  std::vector<std::byte*> pinned_data_;  // by item: its data, or nullptr when it passes through the ring
  std::vector<bool> wanted_;             // by item: it is to be pinned, but passes through the ring the next time
  MemoryRegion memory_;                  // the ring's
  std::unique_ptr<WeightRing> ring_;     // nullptr when there is none
  std::vector<Place> places_;            // oldest first
  std::vector<uint32_t> in_use_;         // items of the ring
};

}  // namespace hypura
