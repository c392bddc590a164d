#include "kv/kv_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <fstream>

#include "kv/kv_entries_for_test.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

namespace fs = std::filesystem;

class KvFileTest : public testing::Test {
 protected:
  Result<KvEntry> read() const { return read_kv_file(path_, name_); }
  void write() const {
    const Status status = write_kv_file(path_, entry_);
    ASSERT_TRUE(status) << status.error().message;
  }
  void change_byte(uint64_t at) const {
    std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
    file.seekg(static_cast<std::streamoff>(at));
    const int byte = file.get();
    file.seekp(static_cast<std::streamoff>(at));
    file.put(static_cast<char>(byte ^ 1));
  }

  TempDir folder_;
  KvEntry entry_ = entry_of(counted(512), 256, 10000);
  KvFileName name_{entry_.key, 256, 512};
  fs::path path_ = folder_.path() / to_string(name_);
};

TEST_F(KvFileTest, WhatIsWrittenIsRead) {
  write();
  const auto entry = read();
  ASSERT_TRUE(entry) << entry.error().message;
  EXPECT_EQ(entry->key, entry_.key);
  EXPECT_EQ(entry->from, 256U);
  EXPECT_EQ(entry->tokens, entry_.tokens);
  EXPECT_EQ(entry->state, entry_.state);
  EXPECT_EQ(fs::file_size(path_), kv_file_bytes(entry_));
}

TEST_F(KvFileTest, OnlyTheUserMayReadIt) {
  const mode_t before = ::umask(0);
  write();
  ::umask(before);
  EXPECT_EQ(fs::status(path_).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(KvFileTest, AnyChangedByteIsFound) {
  for (const uint64_t at : {0U, 9U, 13U, 17U, 25U, 33U, 41U, 60U, 48U + 4 * 512U, 12000U}) {
    write();
    change_byte(at);
    const auto entry = read();
    ASSERT_FALSE(entry) << "byte " << at;
    EXPECT_EQ(entry.error().code, ErrorCode::kBadModel) << entry.error().message;
  }
}

TEST_F(KvFileTest, AnyLengthButItsOwnIsFound) {
  for (const uint64_t length : {0U, 1U, 47U, 48U, 1000U, 4096U, 12095U, 12097U}) {
    write();
    fs::resize_file(path_, length);
    EXPECT_FALSE(read()) << length << " bytes";
  }
}

TEST_F(KvFileTest, AnotherEntryUnderItsNameIsFound) {
  write();
  EXPECT_FALSE(read_kv_file(path_, {name_.key + 1, 256, 512}));
  EXPECT_FALSE(read_kv_file(path_, {name_.key, 0, 512}));
  EXPECT_FALSE(read_kv_file(path_, {name_.key, 256, 511}));
}

TEST_F(KvFileTest, NothingIsLeftWhereThereIsNoRoom) {
  struct rlimit before {};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const struct rlimit small { 4096, before.rlim_max };
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &small);
  const Status status = write_kv_file(path_, entry_);
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_TRUE(fs::is_empty(folder_.path()));
}

TEST(KvFileName, IsReadAsItIsWritten) {
  const KvFileName name{0xfedcba9876543210, 256, 512};
  EXPECT_EQ(to_string(name), "fedcba9876543210-256-512.kv");
  EXPECT_EQ(parse_kv_file_name(to_string(name)), name);
  for (const char* other : {"", "about.json", "fedcba9876543210-256-512", "-256-512.kv", "fe-256.kv", "fe-512-256.kv",
                            "fe-256-512.kv.partial", "xe-256-512.kv", "fe-256-99999999999.kv"}) {
    EXPECT_EQ(parse_kv_file_name(other), std::nullopt) << other;
  }
}

}  // namespace
}  // namespace hypura
