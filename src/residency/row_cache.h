// Which rows of a table are in which slots: the least recently used one makes place. Pure bookkeeping: it moves no
// bytes.
//
// Not thread-safe: the owner serialises.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace hypura {

class RowCache {
 public:
  struct Place {
    uint32_t slot = 0;
    bool held = false;  // the row was there already
  };

  // `slots`: at least 1.
  explicit RowCache(uint32_t slots);

  uint32_t slots() const { return static_cast<uint32_t>(entries_.size()); }

  // The row's place, which is the most recently used one from now on. One that was not held takes that of the row that
  // has not been used for longest: of `slots` rows asked for in turn none takes another's.
  Place use(int32_t row);

  // Whether the row has a slot. Does not count as a use.
  bool holds(int32_t row) const { return slot_of_.contains(row); }

  // The row is not there, after all. Does nothing when it has no slot.
  void drop(int32_t row);

 private:
  static constexpr int32_t kNoRow = -1;
  struct Entry {
    int32_t row = kNoRow;
    uint32_t older = 0;  // neighbours in a circle by last use
    uint32_t newer = 0;
  };

  void take_out(uint32_t slot);
  void put_newest(uint32_t slot);

  std::vector<Entry> entries_;  // by slot
  uint32_t oldest_ = 0;         // the circle's beginning; the newest is before it
  std::unordered_map<int32_t, uint32_t> slot_of_;
};

}  // namespace hypura
