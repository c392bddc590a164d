// Which cells of a context each sequence has: a cell is the place of one token's keys and values. Sequences that share
// a beginning share its cells, which count once.
//
// Invariant: what two sequences share is a beginning of both, since cells come to a sequence by copy() of a beginning
// and by append() alone. So the cells that are a sequence's own are at its end.
//
// Pure. Not thread-safe.
#pragma once

#include <cstdint>
#include <vector>

namespace hypura {

class CellBooks {
 public:
  explicit CellBooks(uint32_t sequences) : cells_of_(sequences) {}

  // Cells that any sequence has.
  uint32_t used() const { return used_; }
  // Tokens whose cells another sequence counts already.
  uint64_t shared_tokens() const { return tokens_ - used_; }

  uint32_t held(uint32_t sequence) const { return static_cast<uint32_t>(cells_of_[sequence].size()); }
  // Of its tokens, the first ones whose cells another sequence has too.
  uint32_t shared(uint32_t sequence) const;
  // Cells of the sequences for which `counts` has true, and of the first `more` tokens of `of`.
  uint32_t cells_of(const std::vector<bool>& counts, uint32_t of, uint32_t more) const;

  // The sequence has so many more tokens, in cells that nobody had.
  void append(uint32_t sequence, uint32_t count);
  // It has its first `count` tokens alone from now on, of at least as many.
  void cut(uint32_t sequence, uint32_t count);
  // A sequence that has nothing shares the first `count` tokens of another.
  void copy(uint32_t from, uint32_t to, uint32_t count);

 private:
  std::vector<std::vector<uint32_t>> cells_of_;  // by sequence: numbers of cells
  std::vector<uint32_t> holders_;                // by cell: sequences that have it
  std::vector<uint32_t> unused_;                 // cells without holders
  uint32_t used_ = 0;
  uint64_t tokens_ = 0;  // of all sequences
};

}  // namespace hypura
