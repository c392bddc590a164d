#include "llama/cell_books.h"

#include <algorithm>

namespace hypura {

uint32_t CellBooks::shared(uint32_t sequence) const {
  const std::vector<uint32_t>& cells = cells_of_[sequence];
  const auto own = std::partition_point(cells.begin(), cells.end(), [&](uint32_t cell) { return holders_[cell] > 1; });
  return static_cast<uint32_t>(own - cells.begin());
}

uint32_t CellBooks::cells_of(const std::vector<bool>& counts, uint32_t of, uint32_t more) const {
  std::vector<bool> counted(holders_.size());
  uint32_t sum = 0;
  const auto count = [&](uint32_t sequence, size_t tokens) {
    for (size_t i = 0; i < tokens; ++i) {
      const uint32_t cell = cells_of_[sequence][i];
      sum += counted[cell] ? 0 : 1;
      counted[cell] = true;
    }
  };
  for (uint32_t sequence = 0; sequence < cells_of_.size(); ++sequence) {
    count(sequence, counts[sequence] ? cells_of_[sequence].size() : 0);
  }
  count(of, more);
  return sum;
}

void CellBooks::append(uint32_t sequence, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    if (unused_.empty()) {
      unused_.push_back(static_cast<uint32_t>(holders_.size()));
      holders_.push_back(0);
    }
    const uint32_t cell = unused_.back();
    unused_.pop_back();
    holders_[cell] = 1;
    cells_of_[sequence].push_back(cell);
  }
  used_ += count;
  tokens_ += count;
}

void CellBooks::cut(uint32_t sequence, uint32_t count) {
  std::vector<uint32_t>& cells = cells_of_[sequence];
  tokens_ -= cells.size() - count;
  for (; cells.size() > count; cells.pop_back()) {
    if (--holders_[cells.back()] == 0) {
      unused_.push_back(cells.back());
      --used_;
    }
  }
}

void CellBooks::copy(uint32_t from, uint32_t to, uint32_t count) {
  const std::vector<uint32_t>& source = cells_of_[from];
  cells_of_[to].assign(source.begin(), source.begin() + count);
  for (const uint32_t cell : cells_of_[to]) {
    ++holders_[cell];
  }
  tokens_ += count;
}

}  // namespace hypura
