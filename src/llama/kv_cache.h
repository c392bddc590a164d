// The tokens that each sequence of a context holds, the cells that they take, and what of them a new prompt can go on
// with.
//
// Invariants:
// - A sequence holds the keys and values of its tokens(), and of nothing else but what a pass has evaluated since:
//   append() what of that is to stay, and cut() away the rest.
// - A pass of no more tokens than free_cells() finds a cell for each. Idle sequences keep what they hold for as long as
//   nobody needs their cells: make_room() takes them back.
//
// Not thread-safe: one thread at a time, the one of the passes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "llama/cell_books.h"
#include "llama/kv_keeper.h"
#include "llama/kv_memory.h"
#include "llama/sequence_choice.h"

namespace hypura {

// Where a prompt was put.
struct KvPlace {
  uint32_t sequence = 0;
  uint32_t donor = 0;   // whose beginning it took over; `sequence`: its own
  uint32_t reused = 0;  // tokens of the prompt that it holds already
};

class KvCache {
 public:
  // The memory must be empty, have `cells`, and outlive the object. What idle sequences lose is kept in the keeper, and
  // what a prompt needs fetched from there; it must outlive the object too, null: none.
  explicit KvCache(KvMemory& memory, uint32_t cells = UINT32_MAX, KvKeeper* keeper = nullptr);
  // Leaves the memory empty.
  ~KvCache();
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;

  // Keeps one more entry of what idle sequences hold, the one used last first: when there is time. With `wait` as
  // KvKeeper::keep. kAll without a keeper.
  KvKeeper::Kept keep_some(bool wait);
  // Keeps all of it, but for no longer than some seconds: before all is forgotten.
  void keep_rest();

  uint32_t sequences() const { return static_cast<uint32_t>(entries_.size()); }
  // Sequences that are not in use. They keep what they hold until their cells are needed, or they are acquired again.
  uint32_t idle() const;
  bool is_idle(uint32_t sequence) const { return entries_[sequence].idle; }
  // Valid until the sequence is changed.
  std::span<const int32_t> tokens(uint32_t sequence) const { return entries_[sequence].tokens; }

  // Whether sequences can share a beginning.
  bool can_share() const { return memory_.can_cut(); }
  uint32_t cells() const { return cells_; }
  uint32_t used_cells() const { return books_.used(); }
  uint32_t free_cells() const { return cells_ - books_.used(); }
  // Tokens that sequences hold in cells of others.
  uint64_t shared_tokens() const { return books_.shared_tokens(); }

  // What acquire() would do.
  SequenceChoice choose(std::span<const int32_t> prompt, uint32_t most) const;
  // Cells that could be free after acquire() as chosen, if all other idle sequences were cleared.
  uint32_t room(const SequenceChoice& choice) const;

  // Takes an idle sequence into use, of which there must be one, and makes it hold as much as the context has of the
  // first `most` tokens of `prompt`, never its last, and nothing else. Which one: choose_sequence(). What the keeper
  // has besides is fetched from then on.
  KvPlace acquire(std::span<const int32_t> prompt, uint32_t most);

  // Whether there is more to fetch for the sequence, which is in use. Until then nothing is to be appended to it.
  bool is_fetching(uint32_t sequence) const { return entries_[sequence].fetch != nullptr; }
  // Puts in the next entry of what is fetched, and waits until it was read: some milliseconds each. What cannot be
  // fetched is left to be computed. Gives the tokens that the sequence holds besides, from now on.
  uint32_t fetch_next(uint32_t sequence);

  // The sequence is idle from now on.
  void release(uint32_t sequence);

  // A pass has evaluated these tokens, after what the sequence holds.
  void append(uint32_t sequence, std::span<const int32_t> tokens);

  // Forgets all but the first `count` tokens, which it must hold, and whatever a pass has left beyond them. Gives how
  // many are left: `count`, or 0 when it cannot be cut there.
  uint32_t cut(uint32_t sequence, uint32_t count);

  // Takes cells back from idle sequences until `count` are free: from the ends of those that are worth least first.
  // False when all of them have not so many.
  bool make_room(uint32_t count);

  // Is called when a sequence has forgotten all but its first `left` tokens; it must not use the object.
  void on_forgotten(std::function<void(uint32_t sequence, uint32_t left)> told) { told_ = std::move(told); }

 private:
  struct Entry {
    std::vector<int32_t> tokens;
    bool idle = true;
    uint64_t last_used = 0;                    // by clock_
    uint32_t kept = 0;                         // tokens that the keeper need not look at
    std::vector<int32_t> text = {};            // what is fetched is of it
    std::unique_ptr<KvFetch> fetch = nullptr;  // goes before the text
  };

  std::vector<SequenceView> views() const;
  uint32_t forget(uint32_t sequence, uint32_t count);
  void begin_fetch(uint32_t sequence, std::span<const int32_t> text);
  bool load_next(uint32_t sequence);

  KvMemory& memory_;
  KvKeeper* const keeper_;
  const uint32_t cells_;
  std::vector<Entry> entries_;  // by sequence
  CellBooks books_;
  uint64_t clock_ = 0;  // counts sequences taken into use, and released
  std::function<void(uint32_t, uint32_t)> told_;
};

}  // namespace hypura
