#include "machine/two_measurements.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

// Of a machine at `computing` and `reading` of its full speed.
MachineProfile at(double computing, double reading) {
  MachineProfile profile;
  profile.processor_share = 1;
  profile.operation_seconds = 1e-6 / computing;
  profile.attention_per_second = 3e9 * computing;
  profile.kernels = {
      {"q4_0", 10e9 * computing, 100e9 * computing, 20e9 * computing, 200e9 * computing, 0, 0, 4e9 * computing},
      {"f32", 30e9 * computing, 50e9 * computing}};
  profile.ram_bytes_per_second = {10e9 * computing};
  profile.storage.points = {{1 << 20, 1, true, 1e9 * reading}, {1 << 20, 8, true, 4e9 * reading}};
  profile.storage.knee = profile.storage.points[1];
  profile.storage.scattered_bytes_per_second = 4e9 * reading;
  profile.storage.sequential_bytes_per_second = 5e9 * reading;
  profile.storage.sustained_bytes_per_second = 1e9;
  profile.measured_at = "2026-12-01T10:00:00Z";
  return profile;
}

TEST(TwoMeasurements, KeepTheBetterSpeedsAndWhatLasts) {
  for (const bool slower_first : {false, true}) {
    MachineProfile first = at(slower_first ? 0.6 : 1, slower_first ? 0.5 : 1);
    MachineProfile second = at(slower_first ? 1 : 0.6, slower_first ? 1 : 0.5);
    second.measured_at = "2026-12-01T10:10:00Z";
    second.storage.sustained_bytes_per_second = 0;
    const MachineProfile both = two_measurements(first, second);
    EXPECT_NEAR(both.lasting_share, 0.6, 1e-9);
    EXPECT_NEAR(both.storage.lasting_share, 0.5, 1e-9);
    EXPECT_EQ(both.kernel("q4_0")->repacked_matmul_flops, 200e9);
    EXPECT_EQ(both.kernel("q4_0")->repack_bytes_per_second, 4e9);
    EXPECT_EQ(both.storage.points[1].bytes_per_second, 4e9);
    EXPECT_EQ(both.storage.scattered_bytes_per_second, 4e9);
    EXPECT_EQ(both.storage.knee.bytes_per_second, 4e9);
    EXPECT_EQ(both.operation_seconds, 1e-6);
    EXPECT_EQ(both.ram_bytes_per_second.front(), 10e9);
    EXPECT_EQ(both.first_measured_at, "2026-12-01T10:00:00Z");
    EXPECT_EQ(both.measured_at, "2026-12-01T10:10:00Z") << "calibration factors are by other predictions now";
    EXPECT_EQ(both.storage.sustained_bytes_per_second, 1e9) << "that was learned while running";
  }
}

TEST(TwoMeasurements, NoiseIsNoDifference) {
  MachineProfile second = at(0.95, 0.93);
  second.kernels.front().matmul_flops /= 3;  // one figure of many
  const MachineProfile both = two_measurements(at(1, 1), second);
  EXPECT_EQ(both.lasting_share, 1);
  EXPECT_EQ(both.storage.lasting_share, 1);
  EXPECT_EQ(both.kernel("q4_0")->matmul_flops, 100e9);
}

TEST(TwoMeasurements, AThirdForgetsNothing) {
  const MachineProfile two = two_measurements(at(1, 1), at(0.6, 0.5));
  const MachineProfile three = two_measurements(two, at(1, 0.4));
  EXPECT_NEAR(three.lasting_share, 0.6, 1e-9);
  EXPECT_NEAR(three.storage.lasting_share, 0.4, 1e-9);
  EXPECT_NEAR(two_measurements(two, at(2, 1)).lasting_share, 0.3, 1e-9) << "0.6 of what was half of the best";
}

TEST(TwoMeasurements, WhatOneLacksIsTakenFromTheOther) {
  MachineProfile first = at(1, 1);
  first.kernels.push_back({"q4_K", 9e9, 90e9});
  MachineProfile second = at(1, 1);
  second.kernels.push_back({"q6_K", 8e9, 80e9});
  second.storage = {};
  const MachineProfile both = two_measurements(first, second);
  EXPECT_NE(both.kernel("q4_K"), nullptr);
  EXPECT_NE(both.kernel("q6_K"), nullptr);
  EXPECT_EQ(both.storage.points.size(), 2U) << "the disk was not measured";
  EXPECT_EQ(both.storage.lasting_share, 1);
}

}  // namespace
}  // namespace hypura
