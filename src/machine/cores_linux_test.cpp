#include "machine/cores_linux.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <array>
#include <thread>

#include "machine/memory.h"
#include "machine/test_tree.h"

namespace hypura {
namespace {

TEST(Cores, HyperthreadsCountOnce) {
  const TestTree tree;
  for (int cpu = 0; cpu < 8; ++cpu) {
    tree.write("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list",
               std::to_string(cpu % 4) + "," + std::to_string(cpu % 4 + 4) + "\n");
  }
  EXPECT_EQ(count_physical_cores(tree.root(), std::array{0U, 1U, 2U, 3U, 4U, 5U, 6U, 7U}), 4U);
  EXPECT_EQ(count_physical_cores(tree.root(), std::array{1U, 5U, 2U}), 2U);
  EXPECT_EQ(count_physical_cores(tree.root(), std::array{1U, 8U, 9U}), 3U) << "unknown ones stand alone";
}

TEST(Cores, QuotaOfV2IsTheTightestRoundedDown) {
  const TestTree tree;
  tree.write("/proc/self/mountinfo", "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  tree.write("/proc/self/cgroup", "0::/a/b\n");
  EXPECT_EQ(read_cpu_quota(tree.root()), std::nullopt);
  tree.write("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  EXPECT_EQ(read_cpu_quota(tree.root()), std::nullopt);
  tree.write("/sys/fs/cgroup/a/cpu.max", "250000 100000\n");
  EXPECT_EQ(read_cpu_quota(tree.root()), 2U);
  tree.write("/sys/fs/cgroup/a/b/cpu.max", "50000 100000\n");
  EXPECT_EQ(read_cpu_quota(tree.root()), 1U);
  for (const char* garbage : {"", "\n", "5", "5 0", "0 5", "a b", "-1 100000"}) {
    tree.write("/sys/fs/cgroup/a/b/cpu.max", garbage);
    EXPECT_EQ(read_cpu_quota(tree.root()), 2U) << garbage;
  }
}

TEST(Cores, QuotaOfV1) {
  const TestTree tree;
  tree.write("/proc/self/mountinfo", "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n");
  tree.write("/proc/self/cgroup", "4:cpu,cpuacct:/a\n");
  tree.write("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
  tree.write("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(read_cpu_quota(tree.root()), std::nullopt);
  tree.write("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "400000\n");
  EXPECT_EQ(read_cpu_quota(tree.root()), 4U);
}

TEST(Cores, AffinityIsRespected) {
  const uint32_t all = usable_cores();
  EXPECT_GE(all, 1U);
  EXPECT_LE(all, std::max(1U, std::thread::hardware_concurrency()));
  // Affinity belongs to a thread, so a second one leaves the test's own alone.
  std::thread([] {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<size_t>(sched_getcpu()), &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    EXPECT_EQ(usable_cores(), 1U);
  }).join();
}

}  // namespace
}  // namespace hypura
