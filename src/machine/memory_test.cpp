#include "machine/memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>

#include "support/units.h"

namespace hypura {
namespace {

TEST(Memory, AllowedIsTheSmallerOfMachineAndGroup) {
  MemoryLimits limits;
  limits.total = 16 * kGiB;
  limits.available = 10 * kGiB;
  EXPECT_EQ(limits.allowed(), 10 * kGiB);
  limits.cgroup_limit = 8 * kGiB;
  limits.cgroup_used = 3 * kGiB;
  EXPECT_EQ(limits.allowed(), 5 * kGiB);
  limits.available = 4 * kGiB;
  EXPECT_EQ(limits.allowed(), 4 * kGiB);
  limits.cgroup_used = 9 * kGiB;
  EXPECT_EQ(limits.allowed(), 0U);
}

TEST(Memory, ThisMachineHasMemory) {
  const Result<MemoryLimits> limits = read_memory_limits();
  ASSERT_TRUE(limits) << limits.error().message;
  EXPECT_GT(limits->available, 16 * kMiB);
  EXPECT_GT(limits->total, limits->available);
  EXPECT_LE(limits->allowed(), limits->available);
  EXPECT_EQ(limits->cgroup_limit.has_value(), !limits->cgroup_path.empty());
}

TEST(Memory, ThisProcessGrowsAndShrinks) {
  constexpr uint64_t kSize = 64 * kMiB;
  const ProcessMemory before = read_process_memory();
  // Not from the heap, because sanitizers keep what was freed.
  void* block = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
  ASSERT_NE(block, MAP_FAILED);
  std::memset(block, 1, kSize);
  const ProcessMemory during = read_process_memory();
  munmap(block, kSize);
  const ProcessMemory after = read_process_memory();
  EXPECT_GE(during.resident, before.resident + 60 * kMiB);
  EXPECT_LT(after.resident, during.resident - 60 * kMiB);
  EXPECT_GE(after.peak, before.resident + 60 * kMiB);
}

}  // namespace
}  // namespace hypura
