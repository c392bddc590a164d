#include "residency/machine_speed.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

TEST(MachineSpeed, MovesTowardsWhatIsMeasured) {
  MachineSpeed speed(0.001, 0.01, 0.002);
  speed.note({4, 0}, 0.016);
  EXPECT_DOUBLE_EQ(speed.row(), 0.0022);
  speed.note({1, 2}, 0.0222);  // of which a row takes 0.0022
  EXPECT_DOUBLE_EQ(speed.miss(), 0.01);
  EXPECT_DOUBLE_EQ(speed.seconds({2, 1}), 0.001 + 2 * 0.0022 + 0.01);
  speed.note_visit(0.002);
  EXPECT_DOUBLE_EQ(speed.visit(), 0.0011);
  for (int i = 0; i < 100; ++i) {
    speed.note_visit(0.05);
  }
  EXPECT_NEAR(speed.visit(), 0.05, 0.0001);
}

TEST(MachineSpeed, WhatTakesLongOnceIsNoRule) {
  MachineSpeed speed(0.001, 0.01, 0.002);
  speed.note_visit(1000);
  EXPECT_NEAR(speed.visit(), 0.0019, 1e-9);
}

TEST(MachineSpeed, ForgetsWhatItLearnedWhileItIsNotAsked) {
  MachineSpeed speed(0.001, 0.01, 0.002);
  speed.note_visit(1);
  speed.note({1, 0}, 1);
  speed.note({1, 1}, 3);
  for (int i = 0; i < 10000; ++i) {
    speed.forget();
  }
  EXPECT_NEAR(speed.visit(), 0.001, 1e-5);
  EXPECT_NEAR(speed.miss(), 0.01, 1e-4);
  EXPECT_NEAR(speed.row(), 0.002, 1e-5);
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
  EXPECT_DOUBLE_EQ(speed.miss(), 1 - MachineSpeed::kBelieved);
}

}  // namespace
}  // namespace hypura
