#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "measure/memory_box.h"
#include "measure/process.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

std::string unique_name(const char* what) {
  return fmt::format("hypura-bench-test-{}-{}", getpid(), what);
}

ProcessRequest shell_in(const MemoryBox& box, const std::string& script) {
  ProcessRequest request;
  request.program = "/bin/sh";
  request.arguments = {"sh", "-c", script};
  request.entrance = box.entrance();
  return request;
}

TEST(MemoryBox, SaysWhatIsMissingWithoutCgroups) {
  const TempDir folder;
  const auto box = MemoryBox::create("box", kGiB, folder.path());
  ASSERT_FALSE(box);
  EXPECT_EQ(box.error().code, ErrorCode::kIo);
  EXPECT_NE(box.error().message.find("no memory cgroups"), std::string::npos);
}

TEST(MemoryBox, HoldsAProcessToItsLimit) {
  const std::string name = unique_name("limit");
  auto box = MemoryBox::create(name, 32 * kMiB);
  if (!box) {
    GTEST_SKIP() << box.error().message;
  }
  // Doubles a string until it is far beyond the limit.
  const std::string greedy = "x=0123456789abcdef; while [ ${#x} -lt 400000000 ]; do x=$x$x; done; echo done";
  const auto outcome = run_process(shell_in(*box, greedy));
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->output, "");
  EXPECT_TRUE(box->out_of_memory());
  EXPECT_GT(box->peak(), 16 * kMiB);
  EXPECT_LE(box->peak(), 32 * kMiB);
}

TEST(MemoryBox, LetsASmallProcessLiveAndIsRemovedAfterwards) {
  const std::string name = unique_name("small");
  std::filesystem::path folder;
  {
    auto box = MemoryBox::create(name, 64 * kMiB);
    if (!box) {
      GTEST_SKIP() << box.error().message;
    }
    folder = box->entrance().parent_path();
    EXPECT_TRUE(std::filesystem::exists(folder));
    const auto outcome = run_process(shell_in(*box, "cat /proc/self/cgroup"));
    ASSERT_TRUE(outcome) << outcome.error().message;
    EXPECT_NE(outcome->output.find(name), std::string::npos);
    EXPECT_FALSE(box->out_of_memory());
  }
  EXPECT_FALSE(std::filesystem::exists(folder));
}

}  // namespace
}  // namespace hypura
