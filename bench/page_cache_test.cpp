#include "bench/page_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "bench/temporary_folder_for_test.h"
#include "support/units.h"

namespace hypura::bench {
namespace {

TEST(CachedBytes, FollowsTheKernel) {
  const TemporaryFolder folder;
  folder.write("data", std::string(3 * kMiB, 'x'));
  EXPECT_EQ(cached_bytes(folder.path() / "data").value(), 3 * kMiB);

  const int file = open((folder.path() / "data").c_str(), O_RDWR);
  ASSERT_EQ(fsync(file), 0);
  ASSERT_EQ(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED), 0);
  close(file);
  EXPECT_LT(cached_bytes(folder.path() / "data").value(), 3 * kMiB);
}

TEST(CachedBytes, NamesAFileThatIsMissing) {
  EXPECT_NE(cached_bytes("/no/such/file").error().message.find("/no/such/file"), std::string::npos);
}

}  // namespace
}  // namespace hypura::bench
