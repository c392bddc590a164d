#include "store/fetch/byte_ranges.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

TEST(ByteRanges, JoinsWhatTouchesAndTellsWhatIsMissing) {
  ByteRanges ranges;
  ranges.add({10, 20});
  ranges.add({30, 40});
  ranges.add({5, 5});
  EXPECT_EQ(ranges.front(), 0);
  EXPECT_EQ(ranges.total(), 20);
  EXPECT_EQ(ranges.missing(0, 100, 50), (ByteRange{0, 10}));
  EXPECT_EQ(ranges.missing(12, 100, 50), (ByteRange{20, 30}));
  EXPECT_EQ(ranges.missing(12, 4, 50), (ByteRange{20, 24}));
  EXPECT_EQ(ranges.missing(35, 100, 50), (ByteRange{40, 50}));
  ranges.add({20, 30});
  EXPECT_EQ(ranges.ranges(), (std::vector<ByteRange>{{10, 40}}));
  ranges.add({0, 45});
  EXPECT_EQ(ranges.front(), 45);
  ranges.add({44, 50});
  EXPECT_EQ(ranges.missing(0, 100, 50), std::nullopt);
}

}  // namespace
}  // namespace hypura
