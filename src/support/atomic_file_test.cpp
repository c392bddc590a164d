#include "support/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>

#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

namespace fs = std::filesystem;

class AtomicFileTest : public testing::Test {
 protected:
  static std::string text_of(const fs::path& file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }
  static long entries(const fs::path& folder) {
    return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
  }

  TempDir dir_;
  fs::path folder_ = dir_.path();
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

TEST_F(AtomicFileTest, WhatTheUserNamesIsReadableAsUsualAndNeedsItsFolder) {
  const mode_t before = ::umask(S_IWGRP | S_IWOTH);
  EXPECT_TRUE(replace_file(folder_ / "usual", "text"));
  EXPECT_TRUE(write_file_atomically(folder_ / "own", "text"));
  ::umask(before);
  EXPECT_EQ(text_of(folder_ / "usual"), "text");
  EXPECT_EQ(fs::status(folder_ / "usual").permissions(), fs::perms(0644));
  EXPECT_EQ(fs::status(folder_ / "own").permissions(), fs::perms(0600));
  EXPECT_EQ(replace_file(folder_ / "missing" / "file", "text").error().code, ErrorCode::kIo);
  EXPECT_FALSE(fs::exists(folder_ / "missing"));
}

}  // namespace
}  // namespace hypura
