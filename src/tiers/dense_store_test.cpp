#include "tiers/dense_store.h"

#include <gtest/gtest.h>

#include <deque>
#include <set>
#include <string>

#include "tiers/direct_place.h"
#include "tiers/fake_reader_for_test.h"

namespace hypura {
namespace {

class DenseStoreTest : public testing::Test {
 protected:
  static constexpr uint64_t kBytes = 6000;

  void SetUp() override {
    uint64_t offset = 300;
    for (uint32_t i = 0; i < 6; ++i) {
      TensorInfo& tensor = tensors_.emplace_back();
      tensor.name = "blk." + std::to_string(i) + ".matrix";
      tensor.extent = {0, offset, kBytes + i};
      offset += tensor.extent.length + 50;
      tensor.shape = {static_cast<int64_t>(tensor.extent.length), 1, 1, 1};
      items_.push_back(dense_item(tensor, {0, 1}));
    }
  }

  Result<std::unique_ptr<DenseStore>> create(const std::vector<bool>& pinned, uint64_t places) {
    return DenseStore::create(items_, reader_, stats_, pinned, places * place_capacity(kBytes), [this] { ++rests_; });
  }

  void make(const std::vector<bool>& pinned, uint64_t places) {
    auto store = create(pinned, places);
    ASSERT_TRUE(store) << store.error().message;
    store_ = std::move(*store);
  }

  void acquire(uint32_t item) {
    const auto data = store_->acquire(item);
    ASSERT_TRUE(data) << data.error().message;
    const Extent& extent = tensors_[item].extent;
    for (uint64_t i = 0; i < extent.length; ++i) {
      ASSERT_EQ((*data)[i], disk_byte(extent.file, extent.offset + i)) << "item " << item << ", byte " << i;
    }
  }

  void use(uint32_t item) {
    acquire(item);
    store_->release();
  }

  // The item that the group with this number reads.
  uint32_t item_read_by(ReadGroup group) const {
    const uint64_t offset = reader_.groups()[group - 1].requests.at(0).offset;
    uint32_t item = 0;
    while (tensors_[item].extent.offset != offset) {
      ++item;
    }
    return item;
  }

  std::deque<TensorInfo> tensors_;
  std::vector<DenseItem> items_;
  FakeReader reader_;
  StoreStats stats_;
  int rests_ = 0;
  std::unique_ptr<DenseStore> store_;
};

const std::vector<bool> kNonePinned(6, false);

TEST_F(DenseStoreTest, PinnedWeightsAreThereFromTheBeginning) {
  make(std::vector<bool>(6, true), 0);
  ASSERT_EQ(reader_.groups().size(), 1U);
  EXPECT_EQ(reader_.groups()[0].priority, Priority::kDemand);
  for (uint32_t item = 0; item < 6; ++item) {
    EXPECT_TRUE(store_->ready(item));
    acquire(item);
  }
  store_->release();
  EXPECT_EQ(reader_.groups().size(), 1U);
  EXPECT_FALSE(reader_.misplaced);
}

TEST_F(DenseStoreTest, TheRingIsFilledAheadOfUseAndReadOnAfterIt) {
  make(kNonePinned, 3);
  ASSERT_EQ(reader_.groups().size(), 3U) << "as much as there are places";
  EXPECT_EQ(reader_.groups()[0].priority, Priority::kPrefetch);
  EXPECT_FALSE(store_->ready(0));
  reader_.end_all();
  EXPECT_TRUE(store_->ready(0) && store_->ready(1) && store_->ready(2));
  EXPECT_FALSE(store_->ready(3));
  acquire(0);
  acquire(1);
  EXPECT_EQ(reader_.groups().size(), 3U) << "what is in use stays";
  store_->release();
  EXPECT_EQ(reader_.groups().size(), 5U);
  EXPECT_EQ(rests_, 0);
  for (int pass = 0; pass < 3; ++pass) {
    for (uint32_t item = pass == 0 ? 2 : 0; item < 6; ++item) {
      use(item);
    }
  }
  EXPECT_GT(rests_, 0) << "told before it blocks";
  for (ReadGroup group = 1; group <= reader_.groups().size(); ++group) {
    EXPECT_EQ(item_read_by(group), (group - 1) % 6);
  }
  EXPECT_FALSE(reader_.misplaced);
}

TEST_F(DenseStoreTest, WhatIsPinnedTakesNoPlaceInTheRing) {
  make({true, false, true, false, false, true}, 2);
  for (int pass = 0; pass < 3; ++pass) {
    for (uint32_t item = 0; item < 6; ++item) {
      use(item);
    }
  }
  for (ReadGroup group = 2; group <= reader_.groups().size(); ++group) {
    const uint32_t item = item_read_by(group);
    EXPECT_TRUE(item == 1 || item == 3 || item == 4) << item;
  }
}

TEST_F(DenseStoreTest, AnotherOrderIsReadAnewAndThenLearned) {
  make(kNonePinned, 3);
  const std::vector<uint32_t> order = {5, 3, 1, 0, 2, 4};
  for (int pass = 0; pass < 3; ++pass) {
    for (const uint32_t item : order) {
      use(item);
    }
  }
  const size_t before = reader_.groups().size();
  for (const uint32_t item : order) {
    use(item);
  }
  EXPECT_EQ(reader_.groups().size(), before + 6) << "each is read once";
  EXPECT_FALSE(reader_.groups().back().cancelled);
}

TEST_F(DenseStoreTest, ReadsThatNobodyWantsAreCancelled) {
  reader_.issue_at_once = false;
  make(kNonePinned, 3);
  use(4);
  EXPECT_TRUE(reader_.groups()[0].cancelled && reader_.groups()[1].cancelled && reader_.groups()[2].cancelled);
  EXPECT_EQ(reader_.blocked, 1) << "for the one that is used";
}

TEST_F(DenseStoreTest, AFailedReadIsAnErrorAndMayBeTriedAgain) {
  make(kNonePinned, 3);
  acquire(0);
  reader_.fail_group(2, {ErrorCode::kIo, "cannot read"});
  EXPECT_TRUE(store_->ready(1));
  const auto failed = store_->acquire(1);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kIo);
  EXPECT_EQ(failed.error().message, "blk.1.matrix: cannot read");
  EXPECT_TRUE(reader_.under_way().empty());
  store_->release();
  for (uint32_t item = 1; item < 6; ++item) {
    use(item);
  }
}

TEST_F(DenseStoreTest, PinnedWeightsThatCannotBeReadAreAnError) {
  reader_.fail_next = Error{ErrorCode::kIo, "cannot read"};
  const auto store = create(std::vector<bool>(6, true), 0);
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, ErrorCode::kIo);
}

TEST_F(DenseStoreTest, NoReadOutlivesIt) {
  make(kNonePinned, 3);
  acquire(0);
  store_.reset();
  EXPECT_TRUE(reader_.under_way().empty());
}

TEST_F(DenseStoreTest, GivesPinnedWeightsBackAndPinsThemAgainFromTheRing) {
  const std::vector<bool> all(6, true);
  make(all, 0);
  const std::vector<bool> some = {true, false, false, true, false, false};
  for (int turn = 0; turn < 2; ++turn) {
    use(0);
    use(1);
    ASSERT_TRUE(store_->keep(some, 2 * place_capacity(kBytes)));  // in the middle of a pass
    EXPECT_EQ(store_->ring_bytes(), 2 * place_capacity(kBytes));
    for (uint32_t item = 0; item < 6; ++item) {
      EXPECT_EQ(store_->pinned(item) != nullptr, some[item]) << item;
    }
    for (uint32_t item = 2; item < 6; ++item) {
      use(item);
    }
    for (int pass = 0; pass < 3; ++pass) {
      for (uint32_t item = 0; item < 6; ++item) {
        use(item);
      }
    }
    ASSERT_TRUE(store_->keep({true, true, true, true, false, true}, 3 * place_capacity(kBytes)));
    for (uint32_t item = 0; item < 6; ++item) {
      use(item);
    }
    EXPECT_NE(store_->pinned(1), nullptr);
    ASSERT_TRUE(store_->keep(all, 0));
    EXPECT_GT(store_->ring_bytes(), 0U) << "the last one comes through it";
    const size_t before = reader_.groups().size();
    for (uint32_t item = 0; item < 6; ++item) {
      use(item);
    }
    EXPECT_EQ(store_->ring_bytes(), 0U);
    EXPECT_LE(reader_.groups().size(), before + 1) << "nothing else is read for it";
    use(4);
  }
  EXPECT_TRUE(reader_.under_way().empty());
  EXPECT_FALSE(reader_.misplaced);
}

TEST_F(DenseStoreTest, PinsWhatIsWantedMostAsItIsUsed) {
  make(kNonePinned, 2);
  ASSERT_TRUE(store_->take_room(2 * place_capacity(kBytes + 6)));
  const std::vector<uint32_t> wanted = {5, 1, 3};
  store_->keep_as_used(wanted);
  EXPECT_EQ(store_->pinned(5), nullptr) << "before it was used";
  for (int pass = 0; pass < 2; ++pass) {
    for (const uint32_t item : {1U, 3U, 5U}) {
      use(item);
    }
  }
  for (uint32_t item = 0; item < 6; ++item) {
    EXPECT_EQ(store_->pinned(item) != nullptr, item == 1 || item == 5) << item;
  }
  const size_t before = reader_.groups().size();
  use(1);
  use(3);
  use(5);
  EXPECT_EQ(reader_.groups().size(), before + 1) << "one of three is read";
  use(2);  // though nobody expects it
  EXPECT_EQ(store_->pinned(2), nullptr);
}

TEST_F(DenseStoreTest, WhatIsPinnedStaysWhereOthersAreWantedBesides) {
  make(kNonePinned, 2);
  ASSERT_TRUE(store_->take_room(3 * place_capacity(kBytes + 6)));
  const auto keep = [this](const std::vector<uint32_t>& items) {
    store_->keep_as_used(items);
    for (int pass = 0; pass < 2; ++pass) {
      for (const uint32_t item : std::set<uint32_t>(items.begin(), items.end())) {
        use(item);
      }
    }
  };
  const auto pinned = [this] {
    std::vector<uint32_t> all;
    for (uint32_t item = 0; item < 6; ++item) {
      if (store_->pinned(item) != nullptr) {
        all.push_back(item);
      }
    }
    return all;
  };
  keep({0, 2});
  EXPECT_EQ(pinned(), (std::vector<uint32_t>{0, 2}));
  keep({4});
  EXPECT_EQ(pinned(), (std::vector<uint32_t>{0, 2, 4}));
  keep({1, 2});
  EXPECT_EQ(pinned(), (std::vector<uint32_t>{0, 1, 2}));
  keep({3, 4, 5});
  EXPECT_EQ(pinned(), (std::vector<uint32_t>{3, 4, 5}));
  for (uint32_t item = 0; item < 6; ++item) {
    use(item);
  }
}

TEST_F(DenseStoreTest, ARoomForAllNeedsNoRingInTheEnd) {
  make(kNonePinned, 2);
  ASSERT_TRUE(store_->take_room(6 * place_capacity(kBytes + 6)));
  for (const std::vector<uint32_t>& wanted : {std::vector<uint32_t>{0, 1}, {2, 3, 4, 5}, {1}}) {
    store_->keep_as_used(wanted);
    for (const uint32_t item : wanted) {
      use(item);
    }
  }
  EXPECT_EQ(store_->ring_bytes(), 0U);
  for (uint32_t item = 0; item < 6; ++item) {
    use(item);
  }
  EXPECT_TRUE(reader_.under_way().empty());
}

TEST_F(DenseStoreTest, AFailedReadAfterItIsOnlyThat) {
  make(std::vector<bool>(6, true), 0);
  reader_.fail_next = Error{ErrorCode::kIo, "gone"};
  ASSERT_TRUE(store_->keep(kNonePinned, 2 * place_capacity(kBytes)));
  const auto failed = store_->acquire(0);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kIo);
  for (uint32_t item = 0; item < 6; ++item) {
    use(item);
  }
  ASSERT_TRUE(store_->keep(std::vector<bool>(6, true), 0));
  for (uint32_t item = 0; item < 6; ++item) {
    use(item);
  }
}

}  // namespace
}  // namespace hypura
