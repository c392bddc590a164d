#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "bench/isolation/page_cache.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

TEST(CachedBytes, FollowsTheKernel) {
  const TempDir folder;
  folder.write("data", std::string(3 * kMiB, 'x'));
  EXPECT_EQ(cached_bytes(folder.path() / "data").value(), 3 * kMiB);

  const int file = open((folder.path() / "data").c_str(), O_RDWR);
  ASSERT_EQ(fsync(file), 0);
  ASSERT_EQ(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED), 0);
  close(file);
  EXPECT_LT(cached_bytes(folder.path() / "data").value(), 3 * kMiB);
}

TEST(DropFileCache, GetsAFileOutOfThePageCache) {
  const TempDir folder;
  const std::filesystem::path file = folder.path() / "data";
  folder.write("data", std::string(3 * kMiB, 'x'));
  ASSERT_TRUE(drop_file_cache(file));
  EXPECT_LT(cached_bytes(file).value(), 3 * kMiB);
  EXPECT_NE(drop_file_cache("/no/such/file").error().message.find("/no/such/file"), std::string::npos);
}

TEST(CachedBytes, NamesAFileThatIsMissing) {
  EXPECT_NE(cached_bytes("/no/such/file").error().message.find("/no/such/file"), std::string::npos);
}

}  // namespace
}  // namespace hypura
