#include "residency/row_cache.h"

#include <cassert>

namespace hypura {

RowCache::RowCache(uint32_t slots) : entries_(slots) {
  assert(slots > 0);
  for (uint32_t i = 0; i < slots; ++i) {
    entries_[i] = {kNoRow, (i + slots - 1) % slots, (i + 1) % slots};
  }
}

RowCache::Place RowCache::use(int32_t row) {
  const auto held = slot_of_.find(row);
  const uint32_t slot = held != slot_of_.end() ? held->second : oldest_;
  const bool is_held = held != slot_of_.end();
  if (!is_held) {
    slot_of_.erase(entries_[slot].row);
    entries_[slot].row = row;
    slot_of_[row] = slot;
  }
  take_out(slot);
  put_newest(slot);
  return {slot, is_held};
}

void RowCache::drop(int32_t row) {
  const auto held = slot_of_.find(row);
  if (held == slot_of_.end()) {
    return;
  }
  const uint32_t slot = held->second;
  slot_of_.erase(held);
  entries_[slot].row = kNoRow;
  take_out(slot);
  put_newest(slot);
  oldest_ = slot;  // the circle now begins with it
}

void RowCache::take_out(uint32_t slot) {
  const Entry& it = entries_[slot];
  oldest_ = oldest_ == slot ? it.newer : oldest_;
  entries_[it.older].newer = it.newer;
  entries_[it.newer].older = it.older;
}

void RowCache::put_newest(uint32_t slot) {
  if (oldest_ == slot) {  // the only one
    return;
  }
  Entry& it = entries_[slot];
  it.newer = oldest_;
  it.older = entries_[oldest_].older;
  entries_[it.older].newer = slot;
  entries_[oldest_].older = slot;
}

}  // namespace hypura
