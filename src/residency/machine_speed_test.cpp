#include "residency/machine_speed.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

TEST(MachineSpeed, BelievesTheFirstMeasurementAndMovesSlowly) {
  MachineSpeed speed(0.001, 1, 1);
  speed.note({4, 0}, 0.008);
  EXPECT_DOUBLE_EQ(speed.row(), 0.002);
  speed.note({4, 0}, 0.016);
  EXPECT_DOUBLE_EQ(speed.row(), 0.0022);
  speed.note({1, 2}, 0.0222);  // of which a row takes 0.0022
  EXPECT_DOUBLE_EQ(speed.miss(), 0.01);
  EXPECT_DOUBLE_EQ(speed.seconds({2, 1}), 0.001 + 2 * 0.0022 + 0.01);
  speed.note_visit(0.003);
  EXPECT_DOUBLE_EQ(speed.visit(), 0.003);
}

TEST(MachineSpeed, AnEmptyShareTakesNothingAndTeachesNothing) {
  MachineSpeed speed(0.5, 1, 2);
  EXPECT_EQ(speed.seconds({}), 0);
  speed.note({}, 100);
  EXPECT_EQ(speed.row(), 2);
}

TEST(MachineSpeed, AMissIsNeverFasterThanNothing) {
  MachineSpeed speed(0, 1, 1);
  speed.note({10, 1}, 0.5);
  EXPECT_EQ(speed.miss(), 0);
}

}  // namespace
}  // namespace hypura
