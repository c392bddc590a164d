#include <gtest/gtest.h>

#include "machine/memory_pressure.h"
#include "machine/test_tree.h"
#include "support/units.h"

namespace hypura {
namespace {

constexpr const char* kMounts =
    "22 27 0:21 / /proc rw - proc proc rw\n30 27 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";

TEST(MemoryPressure, IsReadOfTheMachineAndItsCgroups) {
  const TestTree tree;
  EXPECT_EQ(read_pressure(tree.root()).machine_wait_us, 0U) << "a kernel without it";
  tree.write("/proc/self/mountinfo", kMounts);
  tree.write("/proc/self/cgroup", "0::/user/app\n");
  tree.write(
      "/proc/pressure/memory",
      "some avg10=0.08 avg60=0.68 avg300=2.55 total=101882024\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n");
  const std::filesystem::path user = "/sys/fs/cgroup/user";
  tree.write(user / "memory.events.local", "low 0\nhigh 40\nmax 2\noom 9\n");
  tree.write(user / "app" / "memory.events.local", "low 0\nhigh 3\nmax 0\n");
  tree.write(user / "app" / "memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=5000\n");
  const PressureCounts counts = read_pressure(tree.root());
  EXPECT_EQ(counts.machine_wait_us, 101882024U);
  EXPECT_EQ(counts.cgroup_wait_us, 5000U);
  EXPECT_EQ(counts.limits_reached, 43U);
  tree.write("/proc/pressure/memory", "nonsense total=12\n");
  EXPECT_EQ(read_pressure(tree.root()).machine_wait_us, 0U);
}

TEST(MemoryPressure, IsMoreThanWhatComesAndGoes) {
  MemoryLimits limits;
  limits.total = 16 * kGiB;
  limits.available = kGiB;
  const PressureCounts before = {1'000'000, 2'000'000, 5};
  EXPECT_FALSE(is_pressed(before, before, 0.25, limits));
  EXPECT_FALSE(is_pressed(before, {1'020'000, 2'020'000, 5}, 0.25, limits));
  EXPECT_TRUE(is_pressed(before, {1'030'000, 2'000'000, 5}, 0.25, limits));
  EXPECT_TRUE(is_pressed(before, {1'000'000, 2'030'000, 5}, 0.25, limits));
  EXPECT_TRUE(is_pressed(before, {1'000'000, 2'000'000, 6}, 0.25, limits));
  limits.cgroup_limit = 4 * kGiB;
  EXPECT_FALSE(is_pressed(before, {1'000'000, 2'000'000, 6}, 0.25, limits)) << "by what is dropped anyway";
  limits.cgroup_used = 4 * kGiB;
  EXPECT_TRUE(is_pressed(before, {1'000'000, 2'000'000, 6}, 0.25, limits));
  limits.available = 8 * kGiB;
  EXPECT_FALSE(is_pressed(before, {1'250'000, 2'000'000, 5}, 0.25, limits)) << "others wait, at limits of their own";
  EXPECT_TRUE(is_pressed(before, {1'250'000, 2'250'000, 5}, 0.25, limits));
}

}  // namespace
}  // namespace hypura
