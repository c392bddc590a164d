// The ring that streams dense weights: a circular stretch of memory that is filled with tensors in the order in which
// the graph is expected to use them, each released once its matrix product is done. Pure bookkeeping: it moves no
// bytes.
//
// The order is learned: it starts as the order the caller gives (file order), and when a pass used the tensors in
// another order, or left some out, that is expected from then on. A tensor may be used before its turn as long as the
// ring holds it; one that it does not hold makes the ring start over from it.
//
// Which tensors pass through it may change (change(), leave_out()), as memory for the others comes and goes.
//
// Invariants: a tensor is in the ring at most once; places do not overlap; a place is reused only after retire() of the
// tensor that lay there and of all before it, or after restart_at().
//
// Not thread-safe: the owner serialises.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace hypura {

class WeightRing {
 public:
  // Place for tensor `item` at `offset` of the ring's memory.
  struct Fetch {
    uint32_t item = 0;
    uint64_t offset = 0;
  };

  // `sizes[i]`: capacity that item i takes. `capacity`: bytes of the ring, at least the largest size. `streamed`: the
  // items that pass through it; empty: all.
  WeightRing(std::vector<uint64_t> sizes, uint64_t capacity, const std::vector<bool>& streamed = {});

  // The next tensor to read, when it fits; the ring then holds it. Call until none is given.
  std::optional<Fetch> next_fetch();

  // Whether the ring holds `item`, not yet retired.
  bool holds(uint32_t item) const;

  // Empties the ring and makes `item` the next to be fetched: the answer to a use of what it does not hold. The owner
  // must first have stopped all reads into the ring.
  void restart_at(uint32_t item);

  // `item`, which the ring holds, was used: its place is free once those before it are.
  void retire(uint32_t item);

  // Empties the ring, which has another capacity and other items from now on, and goes on behind the item that was used
  // last. The owner must first have stopped all reads into the ring.
  void change(uint64_t capacity, const std::vector<bool>& streamed);

  // `item`, which the ring does not hold, passes through it no more.
  void leave_out(uint32_t item);

  // Nothing passes through it any more.
  bool empty() const { return order_.empty(); }

  uint64_t capacity() const { return capacity_; }

 private:
  struct Held {
    uint32_t item;
    uint64_t offset;
    uint64_t size;
    bool retired;
  };

  std::optional<uint64_t> place_for(uint64_t size) const;
  void note_use(uint32_t item);

  std::vector<uint64_t> sizes_;
  uint64_t capacity_;
  std::vector<uint32_t> order_;  // expected order of use, cyclic
  size_t next_ = 0;              // position in order_ of the next tensor to fetch
  std::deque<Held> held_;        // oldest first
  std::vector<uint32_t> used_;   // what this pass used so far
  std::vector<bool> seen_;       // by item: in used_
  bool part_ = false;            // this pass used some that did not pass through then: its order says nothing
};

}  // namespace hypura
