#include "support/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <iterator>

namespace hypura {
namespace {

namespace fs = std::filesystem;

class AtomicFileTest : public testing::Test {
 protected:
  AtomicFileTest() {
    std::string name = (fs::temp_directory_path() / "hypura-support-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  ~AtomicFileTest() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  static std::string text_of(const fs::path& file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }
  static long entries(const fs::path& folder) {
    return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
  }

  fs::path folder_;
};

TEST_F(AtomicFileTest, MakesFoldersAndReplaces) {
  const fs::path file = folder_ / "a" / "b" / "file";
  ASSERT_TRUE(write_file_atomically(file, "one"));
  EXPECT_EQ(text_of(file), "one");
  const std::string large(3 << 20, 'x');
  ASSERT_TRUE(write_file_atomically(file, large));
  EXPECT_EQ(text_of(file), large);
  ASSERT_TRUE(write_file_atomically(file, ""));
  EXPECT_EQ(text_of(file), "");
  EXPECT_EQ(entries(file.parent_path()), 1);
}

TEST_F(AtomicFileTest, FailureNamesTheFileAndLeavesNothing) {
  std::ofstream(folder_ / "file") << "x";
  const Status below_a_file = write_file_atomically(folder_ / "file" / "inside", "text");
  ASSERT_FALSE(below_a_file);
  EXPECT_EQ(below_a_file.error().code, ErrorCode::kIo);
  EXPECT_THAT(below_a_file.error().message, testing::HasSubstr((folder_ / "file" / "inside").string()));

  fs::create_directories(folder_ / "taken" / "by a folder");
  ASSERT_FALSE(write_file_atomically(folder_ / "taken", "text"));
  EXPECT_EQ(entries(folder_), 2);
}

}  // namespace
}  // namespace hypura
