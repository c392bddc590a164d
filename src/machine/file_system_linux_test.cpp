#include "machine/file_system_linux.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "machine/file_system.h"
#include "machine/mounts_linux.h"
#include "machine/test_tree.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::HasSubstr;

TEST(FileSystem, TheDeepestMountHoldsAPath) {
  const TestTree tree;
  EXPECT_EQ(mount_of(tree.root(), "/data"), "");
  tree.write("/proc/self/mountinfo",
             "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
             "30 22 0:21 / /data rw - xfs /dev/nvme0n1p2 rw\n"
             "nonsense\n"
             "31 30 0:22 / /data/my\\040models rw - nfs4 server:/models rw\n"
             "32 22 0:23 / /mnt rw - ext4 /dev/sda1 rw\n"
             "33 22 0:24 / /mnt rw - btrfs /dev/sdb1 rw\n");
  EXPECT_EQ(read_mounts(tree.root()).size(), 5U);
  EXPECT_EQ(mount_of(tree.root(), "/home/x"), "ext4 on /dev/vda");
  EXPECT_EQ(mount_of(tree.root(), "/data"), "xfs on /dev/nvme0n1p2");
  EXPECT_EQ(mount_of(tree.root(), "/database"), "ext4 on /dev/vda");
  EXPECT_EQ(mount_of(tree.root(), "/data/my models/a/b.gguf"), "nfs4 on server:/models");
  EXPECT_EQ(mount_of(tree.root(), "/mnt/x"), "btrfs on /dev/sdb1") << "the later mount hides the earlier";
}

TEST(FileSystem, IsTheSameForAFolderAndWhatIsInIt) {
  const TestTree tree;
  tree.write("/a/file", "x");
  const auto folder = file_system_of(tree.root());
  ASSERT_TRUE(folder) << folder.error().message;
  EXPECT_EQ(file_system_of(tree.root() / "a" / "file").value(), *folder);
  EXPECT_NE(file_system_of("/proc").value(), *folder);
  EXPECT_THAT(*file_system_of("/proc"), HasSubstr("proc"));
}

TEST(FileSystem, MissingPathsAreNamed) {
  const TestTree tree;
  const auto missing = file_system_of(tree.root() / "missing");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kIo);
  EXPECT_THAT(missing.error().message, HasSubstr((tree.root() / "missing").string()));
}

TEST(FileSystem, HolesAreSeen) {
  const TestTree tree;
  tree.write("/full", std::string(4 * kMiB, 'x'));
  tree.write("/hole", "x");
  std::filesystem::resize_file(tree.root() / "hole", 4 * kMiB);
  EXPECT_TRUE(has_holes(tree.root() / "hole"));
  EXPECT_FALSE(has_holes(tree.root() / "missing"));
  const int fd = open((tree.root() / "full").c_str(), O_RDONLY);
  ASSERT_EQ(fsync(fd), 0);  // some file systems give a place only then
  close(fd);
  EXPECT_FALSE(has_holes(tree.root() / "full"));
}

}  // namespace
}  // namespace hypura
