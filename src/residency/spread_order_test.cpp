#include "residency/spread_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace hypura {
namespace {

TEST(SpreadOrder, HasEachOnceAndTheFirstFewEvenly) {
  EXPECT_TRUE(spread_order(0).empty());
  EXPECT_EQ(spread_order(1), std::vector<uint32_t>{0});
  EXPECT_EQ(spread_order(8), (std::vector<uint32_t>{0, 4, 2, 6, 1, 5, 3, 7}));
  for (const uint32_t count : {3U, 7U, 100U, 1000U}) {
    std::vector<uint32_t> order = spread_order(count);
    for (uint32_t first = 1; first <= count; ++first) {
      const auto in_half =
          std::count_if(order.begin(), order.begin() + first, [&](uint32_t i) { return i < count / 2; });
      EXPECT_NEAR(static_cast<double>(in_half), first / 2.0, 8) << first << " of " << count;
    }
    std::ranges::sort(order);
    std::vector<uint32_t> all(count);
    std::iota(all.begin(), all.end(), 0U);
    EXPECT_EQ(order, all);
  }
}

TEST(SpreadOrder, KeepsThoseThatFitOfThoseThatMay) {
  const std::vector<bool> may = {true, false, true, true, true, false, true};
  const std::vector<uint64_t> sizes = {10, 1000, 20, 30, 40, 1000, 50};
  EXPECT_EQ(in_spread_order(may), (std::vector<uint32_t>{0, 6, 3, 2, 4}));
  EXPECT_EQ(first_that_fit(may, sizes, 1000), may);
  EXPECT_EQ(first_that_fit(may, sizes, 60), (std::vector<bool>{true, false, false, false, false, false, true}));
  EXPECT_EQ(first_that_fit(may, sizes, 59), (std::vector<bool>{true, false, false, false, false, false, false}));
  EXPECT_EQ(first_that_fit(may, sizes, 0), std::vector<bool>(7));
}

}  // namespace
}  // namespace hypura
