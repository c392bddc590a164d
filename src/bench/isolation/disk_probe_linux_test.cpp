#include <gtest/gtest.h>

#include "bench/isolation/disk_probe.h"
#include "storage/process_reads.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

TEST(ProbeDisk, ReadsFromTheDiskAndNotFromMemory) {
  const TempDir folder;
  folder.write("data", std::string(4 * kMiB, 'x'));
  const auto before = process_read_bytes();
  const auto speed = probe_disk(folder.path() / "data", {{kMiB, 2}}, 0.2);
  if (!speed) {
    GTEST_SKIP() << speed.error().message;  // a file system without direct reads
  }
  const auto after = process_read_bytes();
  ASSERT_TRUE(before && after);
  EXPECT_GE(*after - *before, static_cast<uint64_t>(speed->bytes_per_second * 0.2 * 0.9));
  EXPECT_GT(speed->bytes_per_second, 0);
  EXPECT_EQ(speed->pattern.threads, 2);
}

TEST(ProbeDisk, RefusesAFileThatIsTooShort) {
  const TempDir folder;
  folder.write("data", "short");
  const auto speed = probe_disk(folder.path() / "data", {{kMiB, 2}}, 0.1);
  ASSERT_FALSE(speed);
  EXPECT_EQ(speed.error().code, ErrorCode::kIo);
  EXPECT_NE(speed.error().message.find("data"), std::string::npos);
}

TEST(ProbeDisk, NamesAFileThatIsMissing) {
  EXPECT_NE(probe_disk("/no/such/file", usual_patterns(), 0.1).error().message.find("/no/such/file"),
            std::string::npos);
}

}  // namespace
}  // namespace hypura
