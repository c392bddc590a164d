#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include "machine/speed/scratch_file.h"
#include "machine/test_tree.h"
#include "support/units.h"

namespace hypura {
namespace {

// A small file system of its own, gone at the end.
class SmallDisk {
 public:
  SmallDisk(const std::filesystem::path& point, unsigned long flags) : point_(point) {
    mounted_ = mount("none", point.c_str(), "tmpfs", flags, "size=40M") == 0;
  }
  ~SmallDisk() {
    if (mounted_) {
      umount2(point_.c_str(), MNT_DETACH);
    }
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  bool mounted() const { return mounted_; }

 private:
  std::filesystem::path point_;
  bool mounted_ = false;
};

TEST(ScratchLinux, SpaceOnASmallDisk) {
  const TestTree tree;
  const SmallDisk disk(tree.root(), 0);
  if (!disk.mounted()) {
    GTEST_SKIP() << "may not mount";
  }
  const auto too_small = make_scratch_file(tree.root(), {}, {});
  ASSERT_FALSE(too_small);
  EXPECT_THAT(too_small.error().message, testing::HasSubstr("40.0 MiB free"));

  const auto quarter = make_scratch_file(tree.root(), {.bytes = kGiB, .least_bytes = kMiB, .seconds = 1e9}, {});
  ASSERT_TRUE(quarter) << quarter.error().message;
  EXPECT_EQ(quarter->bytes, 10 * kMiB);
}

TEST(ScratchLinux, AFolderThatCannotBeWrittenIsNamed) {
  const TestTree tree;
  const SmallDisk disk(tree.root(), MS_RDONLY);
  if (!disk.mounted()) {
    GTEST_SKIP() << "may not mount";
  }
  const auto file = make_scratch_file(tree.root(), {.bytes = kMiB, .least_bytes = kMiB, .seconds = 1}, {});
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::kIo);
  EXPECT_THAT(file.error().message,
              testing::AllOf(testing::HasSubstr(tree.root().string()), testing::HasSubstr("Read-only")));
}

}  // namespace
}  // namespace hypura
