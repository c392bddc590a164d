#include "bench/statistics.h"

#include <gtest/gtest.h>

namespace hypura::bench {
namespace {

TEST(Spread, OfNothingIsNothing) {
  EXPECT_FALSE(spread_of({}).has_value());
}

TEST(Spread, OfAnOddCountIsTheOneInTheMiddle) {
  const auto spread = spread_of({9, 1, 5});
  ASSERT_TRUE(spread);
  EXPECT_EQ(spread->median, 5);
  EXPECT_EQ(spread->low, 1);
  EXPECT_EQ(spread->high, 9);
}

TEST(Spread, OfAnEvenCountIsTheMeanOfTheTwoInTheMiddle) {
  EXPECT_EQ(spread_of({4, 1, 2, 100})->median, 3);
}

}  // namespace
}  // namespace hypura::bench
