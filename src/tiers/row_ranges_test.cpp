#include "tiers/row_ranges.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/units.h"

namespace hypura {
namespace {

int64_t power_of_two(int64_t rows) {
  return std::min<int64_t>(rows & -rows, 16);
}

TEST(RowRanges, AMatrixThatIsSmallEnoughStaysWhole) {
  for (const uint64_t bytes : {uint64_t{1000 * 100}, uint64_t{1000 * 100 + 1}, kWholeMatrix}) {
    const auto ranges = cut_rows(1000, 100, bytes);
    ASSERT_EQ(ranges.size(), 1U);
    EXPECT_EQ(ranges[0].first, 0);
    EXPECT_EQ(ranges[0].rows, 1000);
  }
}

// Vocabularies and widths of real models, and small ones.
TEST(RowRanges, AreAllMultiplesOfThePowerOfTwoThatTheMatrixIs) {
  for (const int64_t rows : {64, 65, 66, 100, 257, 4096, 14336, 28672, 32000, 32001, 32002, 49155, 50257, 122753,
                             128256, 151936, 200019, 256000, 262144}) {
    for (const uint64_t row_bytes : {18U, 144U, 2304U, 32768U}) {
      for (const uint64_t bytes : {uint64_t{1}, 100 * kKiB, 8 * kMiB, 32 * kMiB}) {
        const auto ranges = cut_rows(rows, row_bytes, bytes);
        const uint64_t most = std::max(bytes, 64 * row_bytes);
        int64_t next = 0;
        for (const RowRange& range : ranges) {
          ASSERT_EQ(range.first, next);
          ASSERT_GT(range.rows, 0);
          ASSERT_EQ(power_of_two(range.rows), power_of_two(rows)) << rows << " rows in " << ranges.size();
          ASSERT_LE(static_cast<uint64_t>(range.rows) * row_bytes, most) << rows << " rows";
          next += range.rows;
        }
        ASSERT_EQ(next, rows);
      }
    }
  }
}

TEST(RowRanges, AreAboutEquallyLarge) {
  for (const int64_t rows : {128256, 50257, 32002}) {
    const auto ranges = cut_rows(rows, 2304, 16 * kMiB);
    const auto [least, most] = std::ranges::minmax(ranges, {}, &RowRange::rows);
    EXPECT_GT(ranges.size(), 4U);
    EXPECT_LE(most.rows - least.rows, 64) << rows;
  }
}

}  // namespace
}  // namespace hypura
