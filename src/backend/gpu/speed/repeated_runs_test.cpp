#include "backend/gpu/speed/repeated_runs.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace hypura {
namespace {

// A clock that runs move, and whoever reads it sees in whole ticks.
struct FakeTime {
  double now = 1000;
  double tick = 1e-12;
  int runs = 0;

  RunClock clock() {
    return [this] { return std::floor(now / tick) * tick; };
  }
  std::function<void()> run(double seconds) {
    return [this, seconds] {
      now += seconds;
      ++runs;
    };
  }
};

TEST(RepeatedRuns, GiveTheTimeOfOne) {
  for (const double seconds : {1e-7, 3e-6, 1e-4, 0.01}) {
    FakeTime time;
    EXPECT_NEAR(seconds_of_run(time.clock(), 0.03, time.run(seconds)), seconds, seconds / 100);
    EXPECT_LT(time.now, 1000.2) << "about as long as was asked for";
  }
}

TEST(RepeatedRuns, OfASlowDeviceAreNoMoreThanTwo) {
  FakeTime time;
  EXPECT_NEAR(seconds_of_run(time.clock(), 0.03, time.run(0.2)), 0.2, 1e-9);
  EXPECT_EQ(time.runs, 2);
}

TEST(RepeatedRuns, TooShortForTheClockAreTimedTogether) {
  FakeTime time;
  time.tick = 1e-3;
  EXPECT_NEAR(seconds_of_run(time.clock(), 0.5, time.run(1e-4)), 1e-4, 3e-5);
  FakeTime coarse;
  coarse.tick = 1e-5;
  EXPECT_NEAR(seconds_of_run(coarse.clock(), 0.03, coarse.run(2e-7)), 2e-7, 2e-7);
}

TEST(RepeatedRuns, EndWhereTheClockStandsStill) {
  FakeTime time;
  EXPECT_EQ(seconds_of_run(time.clock(), 10, time.run(0)), kShortestRun);
  EXPECT_GT(time.runs, 0);
  double now = 1;
  const RunClock creeping = [&] { return now += 1e-9; };
  const double seconds = seconds_of_run(creeping, 10, [] {});
  EXPECT_GE(seconds, kShortestRun);
  EXPECT_LT(seconds, 1e-6);
}

TEST(RepeatedRuns, AreTheMedianOfDisturbedOnes) {
  FakeTime time;
  std::mt19937 random(1);
  const auto run = [&] { time.now += random() % 10 == 0 ? 0.01 : 5e-6 + 1e-7 * static_cast<double>(random() % 100); };
  EXPECT_NEAR(seconds_of_run(time.clock(), 0.03, run), 1e-5, 6e-6);
}

TEST(RepeatedRuns, BeyondAPartThereIsAlwaysSomething) {
  EXPECT_DOUBLE_EQ(beyond(10, 3), 7);
  EXPECT_DOUBLE_EQ(beyond(10, 10), 2.5);
  EXPECT_DOUBLE_EQ(beyond(10, 30), 2.5);
  EXPECT_GT(beyond(kShortestRun, 1), 0);
}

}  // namespace
}  // namespace hypura
