#include "kv/kv_store.h"

#include <gtest/gtest.h>

#include <chrono>
#include <utility>

#include "kv/kv_entries_for_test.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

class KvStoreTest : public testing::Test {
 protected:
  std::unique_ptr<KvDisk> disk(uint64_t most = 1U << 30U) {
    const KvIdentity identity{folder_.write("model.gguf", "weights").string(), "f1", "b1", "f16"};
    auto disk = KvDisk::open(folder_.path() / "kv", identity, most);
    EXPECT_TRUE(disk) << disk.error().message;
    return std::move(*disk);
  }
  static void put_blocks(KvStore& store, const std::vector<int32_t>& text) {
    for (uint32_t from = 0; from + kKvBlockTokens <= text.size(); from += kKvBlockTokens) {
      const std::vector<int32_t> beginning(text.begin(), text.begin() + from + kKvBlockTokens);
      EXPECT_EQ(store.put(entry_of(beginning, from), true), KvStore::Put::kDone);
    }
  }
  static void wait_for_writes(const KvStore& store, uint64_t entries) {
    for (int i = 0; i < 5000 && store.stats().disk.entries < entries; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_EQ(store.stats().disk.entries, entries);
  }

  TempDir folder_;
  uint64_t block_ = entry_of(counted(256), 0).bytes();
};

TEST_F(KvStoreTest, ATextIsFoundAsFarAsItIsTheSame) {
  KvStore store(kTestIdentity, 100000, nullptr);
  const std::vector<int32_t> text = counted(1000);
  put_blocks(store, text);
  EXPECT_EQ(store.blocks(text, 0).size(), 3U) << "whole blocks";
  EXPECT_EQ(store.blocks(text, 512).size(), 1U);
  std::vector<int32_t> other = text;
  other[600] = 0;
  EXPECT_EQ(store.blocks(other, 0).size(), 2U) << "another tail loses its own block and what follows";
  other = text;
  other[0] = 0;
  EXPECT_TRUE(store.blocks(other, 0).empty());
  EXPECT_TRUE(store.blocks(other, 256).empty()) << "the same tokens after others are not the same block";
  EXPECT_EQ(store.chain(std::span(text).first(512), 256).size(), 1U);
  EXPECT_TRUE(store.chain(std::span(text).first(511), 256).empty());
  EXPECT_EQ(store.first_missing_block(text, 0), std::nullopt);
  EXPECT_EQ(store.first_missing_block(other, 0), 0U);
  EXPECT_EQ(store.first_missing_block(other, 256), 256U);
  EXPECT_EQ(store.first_missing_block(counted(1024), 0), 768U);
  EXPECT_EQ(store.first_missing_block(counted(255, 9), 0), std::nullopt) << "no whole block";
}

TEST_F(KvStoreTest, WhatIsGotIsTheTextAskedFor) {
  KvStore store(kTestIdentity, 100000, nullptr);
  const std::vector<int32_t> text = counted(512);
  put_blocks(store, text);
  const auto found = store.blocks(text, 0);
  ASSERT_EQ(found.size(), 2U);
  const auto entry = store.get(found[1], text);
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->state, entry_of(text, 256).state);
  std::vector<int32_t> other = text;
  other[3] = 0;
  EXPECT_EQ(store.get(found[1], other), nullptr) << "though a hash were the same";
  EXPECT_EQ(store.get(found[1], std::span(text).first(300)), nullptr);
  EXPECT_EQ(store.stats().hits, 1U);
}

TEST_F(KvStoreTest, EntriesOfAnyLengthFollowEachOther) {
  KvStore store(kTestIdentity, 100000, disk());
  for (const auto& [end, from] : std::vector<std::pair<uint32_t, uint32_t>>{
           {100, 0}, {200, 0}, {300, 0}, {230, 200}, {250, 200}, {255, 100}, {260, 250}, {270, 260}}) {
    EXPECT_EQ(store.put(entry_of(counted(end), from), true), KvStore::Put::kDone);
  }
  EXPECT_EQ(store.put(entry_of(counted(258, 5), 0), true), KvStore::Put::kDone) << "another text";
  const auto ends = [&](uint32_t tokens, uint32_t from) {
    std::vector<uint32_t> all;
    for (const KvFound& it : store.chain(counted(tokens), from)) {
      all.push_back(it.name.end);
    }
    return all;
  };
  for (int tier = 0; tier < 2; ++tier) {
    EXPECT_EQ(ends(265, 0), (std::vector<uint32_t>{200, 250, 260}));
    EXPECT_EQ(ends(265, 250), (std::vector<uint32_t>{260}));
    EXPECT_EQ(ends(240, 0), (std::vector<uint32_t>{200, 230}));
    EXPECT_EQ(ends(99, 0), (std::vector<uint32_t>{}));
    EXPECT_EQ(ends(265, 240), (std::vector<uint32_t>{}));
    wait_for_writes(store, 9);
  }
}

TEST_F(KvStoreTest, TheOneUnusedForLongestLeavesRam) {
  KvStore store(kTestIdentity, 2 * block_, nullptr);
  const std::vector<int32_t> one = counted(256, 1000);
  const std::vector<int32_t> two = counted(256, 2000);
  const std::vector<int32_t> three = counted(256, 3000);
  put_blocks(store, one);
  put_blocks(store, two);
  EXPECT_NE(store.get(store.blocks(one, 0).front(), one), nullptr);
  put_blocks(store, three);
  EXPECT_EQ(store.blocks(one, 0).size(), 1U);
  EXPECT_EQ(store.blocks(two, 0).size(), 0U);
  EXPECT_EQ(store.blocks(three, 0).size(), 1U);
  EXPECT_EQ(store.stats().host_entries, 2U);
  EXPECT_EQ(store.stats().host_bytes, 2 * block_);
  EXPECT_EQ(store.put(entry_of(one, 0, 10 * block_), true), KvStore::Put::kNever);
}

TEST_F(KvStoreTest, WhatIsPutInOutlivesTheStore) {
  const std::vector<int32_t> text = counted(1024);
  { put_blocks(*std::make_unique<KvStore>(kTestIdentity, 2 * block_ + 2048, disk()), text); }
  KvStore store(kTestIdentity, 100000, disk());
  const auto found = store.blocks(text, 0);
  ASSERT_EQ(found.size(), 4U);
  EXPECT_EQ(found[0].host_bytes, 0U);
  EXPECT_GT(found[0].disk_bytes, block_);
  KvReadAhead coming(store, found, text);
  for (uint32_t end = 256; end <= 1024; end += 256) {
    const auto entry = coming.next();
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(entry->state, entry_of(counted(end), end - 256).state);
  }
  EXPECT_EQ(coming.next(), nullptr);
}

TEST_F(KvStoreTest, NothingIsWrittenBesideComputingUnlessSomethingWaitsForTheRoom) {
  KvStore store(kTestIdentity, 2 * block_ + 2048, disk());
  store.note_busy(true);
  put_blocks(store, counted(512));
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  EXPECT_EQ(store.stats().disk.entries, 0U);
  const std::vector<int32_t> text = counted(768);
  EXPECT_EQ(store.put(entry_of(text, 512), false), KvStore::Put::kLater);
  EXPECT_EQ(store.stats().disk.entries, 0U);
  EXPECT_EQ(store.put(entry_of(text, 512), true), KvStore::Put::kDone);
  EXPECT_GE(store.stats().disk.entries, 1U);
  store.note_busy(false);
  wait_for_writes(store, 3);
  EXPECT_EQ(store.blocks(text, 0).size(), 3U);
}

TEST_F(KvStoreTest, ADiskThatTakesNothingLosesNothingElse) {
  KvStore store(kTestIdentity, 2 * block_, disk(1));
  for (int32_t i = 1; i < 6; ++i) {
    put_blocks(store, counted(256, 1000 * i));
  }
  EXPECT_EQ(store.stats().disk.entries, 0U);
  EXPECT_GE(store.stats().dropped, 3U);
  EXPECT_EQ(store.blocks(counted(256, 5000), 0).size(), 1U) << "the newest are in RAM";
}

TEST_F(KvStoreTest, WithLessRoomWhatWasUsedLongestAgoGoesFirst) {
  KvStore store(kTestIdentity, 100000, nullptr);
  const std::vector<int32_t> text = counted(1024);
  put_blocks(store, text);
  ASSERT_EQ(store.stats().host_entries, 4U);
  const uint64_t less = store.stats().host_bytes - 1;
  store.set_most(less);
  EXPECT_EQ(store.stats().host_entries, 3U);
  EXPECT_LE(store.stats().host_bytes, less);
  EXPECT_TRUE(store.blocks(text, 0).empty());
  EXPECT_EQ(store.blocks(text, 256).size(), 3U);
  store.set_most(0);
  EXPECT_EQ(store.stats().host_bytes, 0U);
  EXPECT_EQ(store.put(entry_of(std::vector<int32_t>(text.begin(), text.begin() + 256), 0), true), KvStore::Put::kNever);
  store.set_most(100000);
  put_blocks(store, text);
  EXPECT_EQ(store.stats().host_entries, 4U);
}

TEST_F(KvStoreTest, WithNoRoomWhatIsNotYetWrittenIsWrittenFirst) {
  KvStore store(kTestIdentity, 100000, disk());
  store.note_busy(true);
  put_blocks(store, counted(512));
  store.set_most(0);
  EXPECT_EQ(store.stats().host_entries, 2U);
  store.note_busy(false);
  wait_for_writes(store, 2);
  for (int i = 0; i < 5000 && store.stats().host_entries > 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(store.stats().host_bytes, 0U);
}

}  // namespace
}  // namespace hypura
