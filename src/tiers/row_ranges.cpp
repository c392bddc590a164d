#include "tiers/row_ranges.h"

#include <algorithm>

namespace hypura {

namespace {

// Threads share a product by groups of rows: with fewer rows some would have nothing to do.
constexpr int64_t kFewestRows = 64;

int64_t ceil_div(int64_t value, int64_t by) {
  return (value + by - 1) / by;
}

// The largest power of two that divides `rows`, up to kRowGroup.
int64_t power_in(int64_t rows) {
  return std::min(rows & -rows, kRowGroup);
}

}  // namespace

// In units of that power of two: where it is not kRowGroup, each range is an odd number of them, and so is their
// number, since the matrix is an odd number of units too.
std::vector<RowRange> cut_rows(int64_t rows, uint64_t row_bytes, uint64_t bytes) {
  const int64_t unit = power_in(rows);
  const bool odd = unit < kRowGroup;
  const int64_t units = rows / unit;
  const auto fitting = static_cast<int64_t>(std::min<uint64_t>(bytes / row_bytes, INT64_MAX / 2));
  int64_t most = std::max(fitting, kFewestRows) / unit;
  most -= odd && most % 2 == 0 ? 1 : 0;
  int64_t count = ceil_div(units, most);
  count += odd && count % 2 == 0 ? 1 : 0;
  std::vector<RowRange> ranges;
  for (int64_t first = 0, left = units; left > 0; --count) {
    int64_t size = count == 1 ? left : ceil_div(left, count);
    size += odd && size % 2 == 0 ? (size < most ? 1 : -1) : 0;
    ranges.push_back({first * unit, size * unit});
    first += size;
    left -= size;
  }
  return ranges;
}

std::vector<RowRange> cut_rows(const TensorInfo& matrix, uint64_t bytes) {
  return cut_rows(matrix.shape[1], matrix.row_bytes(), matrix.shape[2] == 1 ? bytes : kWholeMatrix);
}

}  // namespace hypura
