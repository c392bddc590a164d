#include "residency/row_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace hypura {
namespace {

TEST(RowCache, TheRowThatWasNotUsedForLongestMakesPlace) {
  RowCache cache(3);
  for (const int32_t row : {10, 20, 30}) {
    EXPECT_FALSE(cache.use(row).held);
  }
  const uint32_t of_20 = cache.use(20).slot;
  EXPECT_TRUE(cache.use(10).held);
  cache.use(40);
  EXPECT_FALSE(cache.holds(30));
  EXPECT_TRUE(cache.holds(10) && cache.holds(20) && cache.holds(40));
  EXPECT_EQ(cache.use(20).slot, of_20);
}

TEST(RowCache, ADroppedRowsSlotIsTakenFirst) {
  RowCache cache(3);
  for (const int32_t row : {10, 20, 30}) {
    cache.use(row);
  }
  const uint32_t slot = cache.use(20).slot;
  cache.drop(20);
  cache.drop(99);
  EXPECT_FALSE(cache.holds(20));
  EXPECT_EQ(cache.use(40).slot, slot);
  EXPECT_TRUE(cache.holds(10) && cache.holds(30));
}

// Against a list that is searched.
TEST(RowCache, IsThatOfAList) {
  for (const uint32_t slots : {1U, 2U, 7U}) {
    RowCache cache(slots);
    std::vector<int32_t> newest_last;
    std::mt19937 generator(3);
    std::vector<int32_t> row_in(slots, -1);
    for (int i = 0; i < 2000; ++i) {
      const auto row = static_cast<int32_t>(generator() % 10);
      const bool drops = generator() % 8 == 0;
      const auto it = std::ranges::find(newest_last, row);
      const bool held = it != newest_last.end();
      if (held) {
        newest_last.erase(it);
      }
      if (drops) {
        cache.drop(row);
        EXPECT_FALSE(cache.holds(row));
        continue;
      }
      newest_last.push_back(row);
      if (newest_last.size() > slots) {
        EXPECT_TRUE(cache.holds(newest_last.front()));
        newest_last.erase(newest_last.begin());
      }
      const RowCache::Place place = cache.use(row);
      EXPECT_EQ(place.held, held);
      if (held) {
        EXPECT_EQ(row_in[place.slot], row);
      }
      row_in[place.slot] = row;
      for (int32_t other = 0; other < 10; ++other) {
        EXPECT_EQ(cache.holds(other), std::ranges::find(newest_last, other) != newest_last.end());
      }
    }
  }
}

}  // namespace
}  // namespace hypura
