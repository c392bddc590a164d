#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "bench/isolation/memory_cgroup.h"
#include "bench/isolation/process.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

std::string unique_name(const char* what) {
  return fmt::format("hypura-bench-test-{}-{}", getpid(), what);
}

ProcessRequest shell_in(const MemoryCgroup& cgroup, const std::string& script) {
  ProcessRequest request;
  request.program = "/bin/sh";
  request.arguments = {"sh", "-c", script};
  request.entrance = cgroup.entrance();
  return request;
}

TEST(MemoryCgroup, SaysWhatIsMissingWithoutCgroups) {
  const TempDir folder;
  const auto cgroup = MemoryCgroup::create("cgroup", kGiB, folder.path());
  ASSERT_FALSE(cgroup);
  EXPECT_EQ(cgroup.error().code, ErrorCode::kIo);
  EXPECT_NE(cgroup.error().message.find("no memory cgroups"), std::string::npos);
}

TEST(MemoryCgroup, HoldsAProcessToItsLimit) {
  const std::string name = unique_name("limit");
  auto cgroup = MemoryCgroup::create(name, 32 * kMiB);
  if (!cgroup) {
    GTEST_SKIP() << cgroup.error().message;
  }
  // Doubles a string until it is far beyond the limit.
  const std::string greedy = "x=0123456789abcdef; while [ ${#x} -lt 400000000 ]; do x=$x$x; done; echo done";
  const auto outcome = run_process(shell_in(*cgroup, greedy));
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->output, "");
  EXPECT_TRUE(cgroup->out_of_memory());
  EXPECT_GT(cgroup->peak(), 16 * kMiB);
  EXPECT_LE(cgroup->peak(), 32 * kMiB);
}

TEST(MemoryCgroup, LetsASmallProcessLiveAndIsRemovedAfterwards) {
  const std::string name = unique_name("small");
  std::filesystem::path folder;
  {
    auto cgroup = MemoryCgroup::create(name, 64 * kMiB);
    if (!cgroup) {
      GTEST_SKIP() << cgroup.error().message;
    }
    folder = cgroup->entrance().parent_path();
    EXPECT_TRUE(std::filesystem::exists(folder));
    const auto outcome = run_process(shell_in(*cgroup, "cat /proc/self/cgroup"));
    ASSERT_TRUE(outcome) << outcome.error().message;
    EXPECT_NE(outcome->output.find(name), std::string::npos);
    EXPECT_FALSE(cgroup->out_of_memory());
  }
  EXPECT_FALSE(std::filesystem::exists(folder));
}

}  // namespace
}  // namespace hypura
