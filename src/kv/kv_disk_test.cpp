#include "kv/kv_disk.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "kv/kv_entries_for_test.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

namespace fs = std::filesystem;
using std::chrono::hours;

class KvDiskTest : public testing::Test {
 protected:
  std::unique_ptr<KvDisk> open(uint64_t most = 1U << 30U) { return open(identity_, most); }
  std::unique_ptr<KvDisk> open(const KvIdentity& identity, uint64_t most = 1U << 30U) {
    auto disk = KvDisk::open(root_, identity, most);
    EXPECT_TRUE(disk) << disk.error().message;
    return std::move(*disk);
  }
  static KvFileName name_of(const KvEntry& it) { return {it.key, it.from, it.end()}; }
  fs::path file_of(const KvEntry& it) const { return list_kv(root_).front().folder / to_string(name_of(it)); }

  TempDir folder_;
  fs::path root_ = folder_.path() / "kv";
  KvIdentity identity_{folder_.write("model.gguf", "weights").string(), "f1", "b1", "f16"};
};

TEST_F(KvDiskTest, WhatIsWrittenIsThereWhenItIsOpenedAgain) {
  const KvEntry entry = entry_of(counted(256), 0);
  EXPECT_EQ(open()->write(entry), true);
  const auto disk = open();
  EXPECT_EQ(disk->find(name_of(entry)), kv_file_bytes(entry));
  EXPECT_EQ(disk->stats().entries, 1U);
  EXPECT_EQ(disk->stats().bytes, kv_file_bytes(entry));
  const auto read = disk->read(name_of(entry));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->state, entry.state);
  EXPECT_EQ(disk->stats().read_bytes, kv_file_bytes(entry));
  EXPECT_EQ(disk->stats().written_bytes, 0U) << "of this one";
  EXPECT_EQ(disk->names(), std::vector{name_of(entry)});
}

TEST_F(KvDiskTest, OnlyTheUserMayLookIntoAFolder) {
  open();
  EXPECT_EQ(fs::status(list_kv(root_).front().folder).permissions(), fs::perms::owner_all);
}

TEST_F(KvDiskTest, WritesNothingTwice) {
  const KvEntry entry = entry_of(counted(256), 0);
  const auto disk = open();
  EXPECT_EQ(disk->write(entry), true);
  EXPECT_EQ(disk->write(entry), true);
  EXPECT_EQ(disk->stats().written_bytes, kv_file_bytes(entry));
  EXPECT_EQ(disk->stats().entries, 1U);
}

TEST_F(KvDiskTest, DamageIsAMissAndGoneAfterwards) {
  const KvEntry entry = entry_of(counted(256), 0);
  const auto disk = open();
  ASSERT_EQ(disk->write(entry), true);
  fs::resize_file(file_of(entry), 100);
  EXPECT_FALSE(disk->read(name_of(entry)));
  EXPECT_EQ(disk->stats().damaged, 1U);
  EXPECT_EQ(disk->find(name_of(entry)), 0U);
  EXPECT_EQ(disk->write(entry), true) << "it can be written again";
  EXPECT_TRUE(disk->read(name_of(entry)));
}

TEST_F(KvDiskTest, TwoProcessesShareAFolder) {
  const KvEntry entry = entry_of(counted(256), 0);
  const auto one = open();
  const auto other = open();
  EXPECT_EQ(other->find(name_of(entry)), 0U);
  ASSERT_EQ(one->write(entry), true);
  EXPECT_EQ(other->find(name_of(entry)), kv_file_bytes(entry));
  EXPECT_EQ(other->write(entry), true);
  EXPECT_EQ(other->stats().written_bytes, 0U);
  fs::remove(file_of(entry));
  EXPECT_FALSE(other->read(name_of(entry)));
  EXPECT_EQ(other->stats().damaged, 0U);
  EXPECT_EQ(other->stats().entries, 0U);
}

TEST_F(KvDiskTest, BothMayWriteTheSame) {
  const auto one = open();
  const auto other = open();
  const auto write_all = [](KvDisk& disk) {
    for (uint32_t i = 1; i <= 20; ++i) {
      static_cast<void>(disk.write(entry_of(counted(256 * i), 256 * (i - 1), 5000)));
    }
  };
  std::thread beside([&] { write_all(*other); });
  write_all(*one);
  beside.join();
  const auto disk = open();
  for (uint32_t i = 1; i <= 20; ++i) {
    const KvEntry entry = entry_of(counted(256 * i), 256 * (i - 1), 5000);
    const auto read = disk->read(name_of(entry));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->state, entry.state);
  }
}

TEST_F(KvDiskTest, AKilledWriterLeavesNothingWrong) {
  const pid_t child = ::fork();
  if (child == 0) {
    auto disk = KvDisk::open(root_, identity_, 1U << 30U);
    for (uint32_t i = 1;; ++i) {
      static_cast<void>((*disk)->write(entry_of(counted(256 * i), 256 * (i - 1), 300000)));
    }
  }
  const auto files = [&] {
    const auto folders = list_kv(root_);
    return folders.empty() ? 0 : folders.front().entries;
  };
  while (files() < 5) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  const uint64_t left = files();
  const auto disk = open();
  for (uint32_t i = 1; i <= left; ++i) {
    const KvEntry entry = entry_of(counted(256 * i), 256 * (i - 1), 300000);
    const auto read = disk->read(name_of(entry));
    ASSERT_TRUE(read) << i << " of " << left << ": " << read.error().message;
    EXPECT_EQ(read->state, entry.state);
  }
}

TEST_F(KvDiskTest, AnotherBuildOrModelDropsWhatWas) {
  const KvEntry entry = entry_of(counted(256), 0);
  ASSERT_EQ(open()->write(entry), true);
  KvIdentity other_way = identity_;
  other_way.way = "q8_0";
  EXPECT_EQ(open(other_way)->find(name_of(entry)), 0U);
  EXPECT_EQ(open()->find(name_of(entry)), kv_file_bytes(entry)) << "another way to compute drops nothing";
  KvIdentity other_build = identity_;
  other_build.build = "b2";
  EXPECT_EQ(open(other_build)->find(name_of(entry)), 0U);
  EXPECT_EQ(list_kv(root_).size(), 1U);
  EXPECT_EQ(open()->find(name_of(entry)), 0U);
}

TEST_F(KvDiskTest, WhatModelsThatAreGoneLeftIsDropped) {
  KvIdentity gone = identity_;
  gone.model = (folder_.path() / "gone.gguf").string();
  ASSERT_EQ(open(gone)->write(entry_of(counted(256), 0)), true);
  ASSERT_EQ(list_kv(root_).size(), 1U);
  open();
  const auto left = list_kv(root_);
  ASSERT_EQ(left.size(), 1U);
  EXPECT_EQ(left.front().identity.model, identity_.model);
}

TEST_F(KvDiskTest, WhatIsNotOursIsLeftAlone) {
  open();
  fs::create_directories(root_ / "0123456789abcdef");
  std::ofstream(root_ / "0123456789abcdef" / "0-0-256.kv") << "whose?";
  const auto disk = open(1);
  EXPECT_EQ(disk->write(entry_of(counted(256), 0)), false) << "more than may be";
  EXPECT_TRUE(fs::exists(root_ / "0123456789abcdef" / "0-0-256.kv"));
}

TEST_F(KvDiskTest, TheLeastWorthGoesFirst) {
  const KvEntry old = entry_of(counted(256, 1000), 0);
  const KvEntry used = entry_of(counted(256, 2000), 0);
  const uint64_t each = kv_file_bytes(old);
  {
    const auto disk = open();
    ASSERT_EQ(disk->write(old), true);
    ASSERT_EQ(disk->write(used), true);
    ASSERT_TRUE(disk->read(name_of(used)));
  }
  const auto days_ago = fs::file_time_type::clock::now() - hours(48);
  fs::last_write_time(file_of(old), days_ago);
  const auto disk = open(2 * each);
  ASSERT_EQ(disk->write(entry_of(counted(256), 0)), true);
  EXPECT_EQ(disk->find(name_of(old)), 0U);
  EXPECT_GT(disk->find(name_of(used)), 0U);
  EXPECT_EQ(disk->stats().evicted, 1U);
  EXPECT_EQ(disk->write(entry_of(counted(256, 3000), 0)), false) << "no more worth than what is there";
}

TEST(KvWorth, IsTokensUsesAndAge) {
  const KvWorth block{0, 256, 1000, 0, hours(0)};
  const auto changed = [&](auto change) {
    KvWorth it = block;
    change(it);
    return it;
  };
  EXPECT_FALSE(goes_before(block, block));
  EXPECT_TRUE(goes_before(block, changed([](KvWorth& it) { it.hits = 1; })));
  EXPECT_TRUE(goes_before(changed([](KvWorth& it) { it.age = hours(5); }), block));
  EXPECT_TRUE(goes_before(changed([](KvWorth& it) { it.bytes = 2000; }), block));
  EXPECT_TRUE(goes_before(KvWorth{256, 512, 1000, 0, hours(0)}, block)) << "later in a text";
}

TEST_F(KvDiskTest, FoldersAreListedAndRemoved) {
  ASSERT_EQ(open()->write(entry_of(counted(256), 0)), true);
  const auto folders = list_kv(root_);
  ASSERT_EQ(folders.size(), 1U);
  EXPECT_EQ(folders.front().identity.text(), identity_.text());
  EXPECT_EQ(folders.front().entries, 1U);
  EXPECT_EQ(folders.front().bytes, kv_file_bytes(entry_of(counted(256), 0)));
  EXPECT_TRUE(remove_kv(folders));
  EXPECT_TRUE(list_kv(root_).empty());
  EXPECT_TRUE(list_kv(root_ / "nowhere").empty());
}

TEST_F(KvDiskTest, MayBeClearedWhileItIsInUse) {
  const auto disk = open();
  const KvEntry entry = entry_of(counted(256), 0);
  ASSERT_EQ(disk->write(entry), true);
  ASSERT_TRUE(remove_kv(list_kv(root_)));
  EXPECT_FALSE(disk->read(name_of(entry)));
  EXPECT_EQ(disk->write(entry), true);
  EXPECT_EQ(list_kv(root_).size(), 1U);
  EXPECT_TRUE(disk->read(name_of(entry)));
}

TEST_F(KvDiskTest, AFolderThatCannotBeMadeIsAnError) {
  folder_.write("file", "");
  const auto disk = KvDisk::open(folder_.path() / "file" / "kv", identity_, 1000);
  ASSERT_FALSE(disk);
  EXPECT_EQ(disk.error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace hypura
