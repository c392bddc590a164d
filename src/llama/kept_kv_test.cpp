#include "llama/kept_kv.h"

#include <gtest/gtest.h>

#include "kv/kv_entries_for_test.h"
#include "llama/kv_cache.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

std::vector<uint8_t> state_to(uint32_t end) {
  return std::vector<uint8_t>(1000, static_cast<uint8_t>(end % 251));
}

// A state says where it ends.
class PlainStates final : public KvStates {
 public:
  explicit PlainStates(Parts parts) : parts_(parts) {}

  Parts parts() const override { return parts_; }
  std::vector<uint8_t> save(uint32_t /*sequence*/, uint32_t from, uint32_t end) override {
    ++saves;
    return end > gone_before && from < gone_before ? std::vector<uint8_t>() : state_to(end);
  }
  bool load(uint32_t /*sequence*/, uint32_t from, uint32_t end, std::span<const uint8_t> state) override {
    EXPECT_EQ(std::vector<uint8_t>(state.begin(), state.end()), state_to(end));
    loaded.emplace_back(from, end);
    return true;
  }

  std::vector<std::pair<uint32_t, uint32_t>> loaded;
  int saves = 0;
  uint32_t gone_before = 0;

 private:
  Parts parts_;
};

class KeptKvTest : public testing::Test {
 protected:
  std::unique_ptr<KeptKv> open(KvStates& states, uint64_t most = 1U << 20U) {
    const KvIdentity identity{folder_.write("model.gguf", "weights").string(), "f1", "b1", "f16"};
    auto disk = KvDisk::open(folder_.path() / "kv", identity, 1U << 30U);
    EXPECT_TRUE(disk) << disk.error().message;
    auto store = std::make_unique<KvStore>(kTestIdentity, most, std::move(*disk));
    return std::make_unique<KeptKv>(states, std::move(store),
                                    KeptKvSpeeds{[this](uint32_t tokens) { return token_seconds_ * tokens; }, 1e9});
  }
  static std::vector<std::pair<uint32_t, uint32_t>> fetch_all(KeptKv& kept, const std::vector<int32_t>& text,
                                                              uint32_t held) {
    std::vector<std::pair<uint32_t, uint32_t>> all;
    const auto fetch = kept.fetch(text, held);
    uint32_t at = fetch == nullptr ? 0 : fetch->from();
    for (uint32_t count = fetch == nullptr ? 0 : fetch->next(); count > 0; count = fetch->next()) {
      EXPECT_TRUE(fetch->load(0));
      all.emplace_back(at, at + count);
      at += count;
    }
    return all;
  }

  static KvKeeper::Kept keep(KeptKv& kept, const std::vector<int32_t>& text, bool wait) {
    uint32_t done = 0;
    return kept.keep(0, text, done, wait);
  }

  using Parts = std::vector<std::pair<uint32_t, uint32_t>>;

  TempDir folder_;
  double token_seconds_ = 1;
};

TEST_F(KeptKvTest, BlocksAreKeptOnceAndFetched) {
  PlainStates states(KvStates::Parts::kAny);
  const std::vector<int32_t> text = counted(700);
  {
    const auto kept = open(states);
    EXPECT_EQ(keep(*kept, text, false), KvKeeper::Kept::kOne);
    EXPECT_EQ(keep(*kept, text, false), KvKeeper::Kept::kOne);
    EXPECT_EQ(keep(*kept, text, false), KvKeeper::Kept::kAll);
    EXPECT_EQ(states.saves, 2);
    kept->losing(0, text, 0);
    EXPECT_EQ(states.saves, 2) << "nothing is lost that is not kept";
  }
  const auto kept = open(states);
  EXPECT_EQ(fetch_all(*kept, text, 0), (Parts{{0, 256}, {256, 512}}));
  EXPECT_EQ(states.loaded, (Parts{{0, 256}, {256, 512}}));
  EXPECT_EQ(fetch_all(*kept, text, 300), (Parts{{256, 512}})) << "from the block's beginning on";
  EXPECT_TRUE(fetch_all(*kept, text, 512).empty());
  EXPECT_EQ(kept->stats().restored_tokens, 768U);
  EXPECT_GT(kept->stats().store.disk.read_bytes, kept->stats().store.disk.bytes);
}

TEST_F(KeptKvTest, OfATextThatGoesOnWhatIsNewIsKept) {
  PlainStates states(KvStates::Parts::kAny);
  const auto kept = open(states);
  kept->losing(0, counted(600), 0);
  EXPECT_EQ(states.saves, 2);
  kept->losing(0, counted(1024), 0);
  EXPECT_EQ(states.saves, 4);
  std::vector<int32_t> other = counted(1024);
  other[800] = 0;
  kept->losing(1, other, 768);
  EXPECT_EQ(states.saves, 5);
  EXPECT_EQ(fetch_all(*kept, other, 0).size(), 4U);
}

TEST_F(KeptKvTest, WholeStatesServeTextsThatBeginWithThem) {
  PlainStates states(KvStates::Parts::kWhole);
  const auto kept = open(states);
  EXPECT_EQ(keep(*kept, counted(300), false), KvKeeper::Kept::kOne);
  EXPECT_EQ(keep(*kept, counted(300), false), KvKeeper::Kept::kAll);
  EXPECT_EQ(keep(*kept, counted(420), false), KvKeeper::Kept::kAll) << "not worth another";
  kept->losing(0, counted(560), 0);
  EXPECT_EQ(keep(*kept, counted(255, 9), false), KvKeeper::Kept::kAll) << "not worth a file";
  EXPECT_EQ(states.saves, 2);
  EXPECT_EQ(fetch_all(*kept, counted(1000), 0), (Parts{{0, 560}}));
  EXPECT_EQ(fetch_all(*kept, counted(400), 0), (Parts{{0, 300}}));
  EXPECT_TRUE(fetch_all(*kept, counted(400), 310).empty()) << "it holds more already";
  std::vector<int32_t> other = counted(1000);
  other[299] = 0;
  EXPECT_TRUE(fetch_all(*kept, other, 0).empty());
  EXPECT_EQ(kept->stride(), UINT32_MAX);
}

// What is new of a sequence with a state, and the state: each entry goes on from another.
TEST_F(KeptKvTest, StatesFollowEachOther) {
  PlainStates states(KvStates::Parts::kLast);
  const auto kept = open(states);
  EXPECT_EQ(kept->stride(), kKvStride);
  EXPECT_EQ(keep(*kept, counted(300), false), KvKeeper::Kept::kOne);
  EXPECT_EQ(keep(*kept, counted(500), false), KvKeeper::Kept::kAll) << "not worth one";
  EXPECT_EQ(keep(*kept, counted(600), false), KvKeeper::Kept::kOne);
  EXPECT_EQ(keep(*kept, counted(600), false), KvKeeper::Kept::kAll);
  kept->losing(0, counted(1000), 0);
  EXPECT_EQ(fetch_all(*kept, counted(2000), 0), (Parts{{0, 300}, {300, 600}, {600, 1000}}));
  EXPECT_EQ(fetch_all(*kept, counted(2000), 300), (Parts{{300, 600}, {600, 1000}}));
  EXPECT_EQ(fetch_all(*kept, counted(2000), 310), (Parts{{0, 300}, {300, 600}, {600, 1000}})) << "anew";
  EXPECT_EQ(fetch_all(*kept, counted(999), 0), (Parts{{0, 300}, {300, 600}}));
  EXPECT_TRUE(fetch_all(*kept, counted(999), 610).empty());
}

TEST_F(KeptKvTest, WhatIsFasterComputedIsNeitherKeptNorFetched) {
  PlainStates states(KvStates::Parts::kAny);
  const auto kept = open(states);
  kept->losing(0, counted(512), 0);
  token_seconds_ = 1e-9;
  EXPECT_TRUE(fetch_all(*kept, counted(512), 0).empty());
  EXPECT_EQ(keep(*kept, counted(512, 7), false), KvKeeper::Kept::kAll);
  token_seconds_ = 1;
  EXPECT_EQ(fetch_all(*kept, counted(512), 0).size(), 2U);
  EXPECT_TRUE(fetch_all(*kept, counted(512, 7), 0).empty());
}

TEST_F(KeptKvTest, AHoleEndsWhatIsKept) {
  PlainStates states(KvStates::Parts::kAny);
  const auto kept = open(states);
  states.gone_before = 300;
  kept->losing(0, counted(1024), 0);
  EXPECT_EQ(fetch_all(*kept, counted(1024), 0), (Parts{{0, 256}}));
  EXPECT_EQ(keep(*kept, counted(1024), false), KvKeeper::Kept::kAll);
}

// Where the disk takes nothing and RAM has not all of a text, its beginning stays, of which the rest is useless
// without.
TEST_F(KeptKvTest, ATextIsGoneThroughOnce) {
  PlainStates states(KvStates::Parts::kAny);
  auto store = std::make_unique<KvStore>(kTestIdentity, 3 * entry_of(counted(768), 512).bytes(), nullptr);
  KeptKv kept(states, std::move(store), {[](uint32_t tokens) { return double{1} * tokens; }, 1e9});
  const std::vector<int32_t> text = counted(2560);
  uint32_t done = 0;
  int entries = 0;
  while (kept.keep(0, text, done, false) == KvKeeper::Kept::kOne) {
    ++entries;
  }
  EXPECT_EQ(done, 2560U);
  EXPECT_EQ(entries, 3);
  EXPECT_EQ(fetch_all(kept, text, 0), (Parts{{0, 256}, {256, 512}, {512, 768}}));
}

TEST_F(KeptKvTest, WhereThereIsNoRoomItIsTriedLater) {
  PlainStates states(KvStates::Parts::kAny);
  const auto kept = open(states, 2 * entry_of(counted(512), 256).bytes());
  kept->note_busy(true);
  const std::vector<int32_t> text = counted(1024);
  EXPECT_EQ(keep(*kept, text, false), KvKeeper::Kept::kOne);
  EXPECT_EQ(keep(*kept, text, false), KvKeeper::Kept::kOne);
  EXPECT_EQ(keep(*kept, text, false), KvKeeper::Kept::kLater);
  EXPECT_EQ(keep(*kept, text, true), KvKeeper::Kept::kOne) << "the room is made";
}

}  // namespace
}  // namespace hypura
