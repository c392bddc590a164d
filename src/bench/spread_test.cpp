#include "bench/spread.h"

#include <gtest/gtest.h>

namespace hypura {
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

TEST(Spread, IsWrittenWithThreeDigits) {
  EXPECT_EQ(to_text(0.5638), "0.56");
  EXPECT_EQ(to_text(9.996), "10.0");
  EXPECT_EQ(to_text(35.25), "35.2");
  EXPECT_EQ(to_text(1234.4), "1234");
  EXPECT_EQ(to_text(Spread{35.2, 9, 120}), "35.2 (9.00..120)");
}

}  // namespace
}  // namespace hypura
