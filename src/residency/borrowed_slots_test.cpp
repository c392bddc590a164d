#include "residency/borrowed_slots.h"

#include <gmock/gmock.h>

namespace hypura {
namespace {

using testing::ElementsAre;

TEST(BorrowedSlotsTest, AreDividedEvenly) {
  const std::vector<BorrowingLayer> layers(3, {64, 8, 9, true});
  EXPECT_THAT(borrowed_slots(layers), ElementsAre(38, 37, 37)) << "2 * (64 - 8) places";
}

TEST(BorrowedSlotsTest, NoLayerHasMoreThanItsExperts) {
  const std::vector<BorrowingLayer> layers = {{64, 8, 60, true}, {64, 8, 10, true}};
  EXPECT_THAT(borrowed_slots(layers), ElementsAre(4, 54));
}

TEST(BorrowedSlotsTest, LayersThatNeverPassThroughAndThoseOfOtherTensorsBorrowNone) {
  const std::vector<BorrowingLayer> layers = {{8, 2, 8, true}, {8, 2, 4, false}, {8, 2, 3, true}};
  EXPECT_THAT(borrowed_slots(layers), ElementsAre(0, 0, 5));
}

TEST(BorrowedSlotsTest, NothingIsBorrowedWhereATokenMakesALayerPassThrough) {
  const std::vector<BorrowingLayer> layers = {{8, 2, 1, false}, {8, 2, 4, true}};
  EXPECT_THAT(borrowed_slots(layers), ElementsAre(0, 0));
}

TEST(BorrowedSlotsTest, WhereATokenTakesNearlyAllHalfOfAStretchIsForCopiesAhead) {
  EXPECT_EQ(landing_places(64, 8), 8U);
  EXPECT_EQ(landing_places(4, 3), 2U);
  EXPECT_EQ(landing_places(1, 1), 0U);
}

}  // namespace
}  // namespace hypura
