#include <gtest/gtest.h>
#include <sys/sysmacros.h>

#include <fstream>

#include "bench/isolation/readahead.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

constexpr const char* kSetting = "sys/devices/disk/queue/read_ahead_kb";

// A recorded /sys: a disk 8:0 with a partition 8:1, and a device 0:40 that is no disk.
class ReadaheadTest : public ::testing::Test {
 protected:
  ReadaheadTest() {
    folder_.write(kSetting, "8192\n");
    folder_.write("sys/devices/disk/part1/partition", "1\n");
    folder_.write("sys/dev/block/.keep", "");
    std::filesystem::create_directory_symlink("../../devices/disk", folder_.path() / "sys/dev/block/8:0");
    std::filesystem::create_directory_symlink("../../devices/disk/part1", folder_.path() / "sys/dev/block/8:1");
  }

  std::string setting() const {
    std::ifstream file(folder_.path() / kSetting);
    std::string line;
    std::getline(file, line);
    return line;
  }

  TempDir folder_;
};

TEST_F(ReadaheadTest, FindsTheDiskOfAPartition) {
  EXPECT_EQ(Readahead::of_device(makedev(8, 0), folder_.path())->own_kib(), 8192);
  EXPECT_EQ(Readahead::of_device(makedev(8, 1), folder_.path())->own_kib(), 8192);
}

TEST_F(ReadaheadTest, RefusesWhatIsNoDisk) {
  const auto readahead = Readahead::of_device(makedev(0, 40), folder_.path());
  ASSERT_FALSE(readahead);
  EXPECT_NE(readahead.error().message.find("sys/dev/block/0:40"), std::string::npos);
}

TEST_F(ReadaheadTest, RestoresWhatItFoundWhenItGoes) {
  {
    auto readahead = Readahead::of_device(makedev(8, 1), folder_.path());
    ASSERT_TRUE(readahead->set(128));
    EXPECT_EQ(setting().substr(0, 3), "128");
    Readahead moved = std::move(*readahead);
    EXPECT_EQ(setting().substr(0, 3), "128");
  }
  EXPECT_EQ(setting(), "8192");
}

}  // namespace
}  // namespace hypura
