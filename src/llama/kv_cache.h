// The tokens that each sequence of a context holds, and what of them a new prompt can go on with.
//
// Invariant: a sequence holds the keys and values of its tokens(), and of nothing else but what a pass has evaluated
// since: append() what of that is to stay, and cut() away the rest.
//
// Not thread-safe: one thread at a time, the one of the passes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "llama/kv_memory.h"

namespace hypura {

// Where a prompt was put.
struct KvPlace {
  uint32_t sequence = 0;
  uint32_t donor = 0;   // whose beginning it took over; `sequence`: its own
  uint32_t reused = 0;  // tokens of the prompt that it holds already
};

class KvCache {
 public:
  // The memory must be empty, and outlive the object.
  explicit KvCache(KvMemory& memory);
  // Leaves the memory empty.
  ~KvCache();
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;

  uint32_t sequences() const { return static_cast<uint32_t>(entries_.size()); }
  // Sequences that are not in use. They keep what they hold until they are acquired again.
  uint32_t idle() const;
  // Tokens of all sequences.
  uint64_t held() const;
  // Valid until the sequence is changed.
  std::span<const int32_t> tokens(uint32_t sequence) const { return entries_[sequence].tokens; }

  // Takes an idle sequence into use, of which there must be one, and makes it hold as much as is at hand of the first
  // `most` tokens of `prompt`, never its last, and nothing else. Which one: choose_sequence().
  KvPlace acquire(std::span<const int32_t> prompt, uint32_t most);

  // The sequence is idle from now on.
  void release(uint32_t sequence) { entries_[sequence].idle = true; }

  // A pass has evaluated these tokens, after what the sequence holds.
  void append(uint32_t sequence, std::span<const int32_t> tokens);

  // Forgets all but the first `count` tokens, which it must hold, and whatever a pass has left beyond them. Gives how
  // many are left: `count`, or 0 when it cannot be cut there.
  uint32_t cut(uint32_t sequence, uint32_t count);

 private:
  struct Entry {
    std::vector<int32_t> tokens;
    bool idle = true;
    uint64_t last_used = 0;  // by clock_
  };

  KvMemory& memory_;
  std::vector<Entry> entries_;  // by sequence
  uint64_t clock_ = 0;          // counts uses
};

}  // namespace hypura
