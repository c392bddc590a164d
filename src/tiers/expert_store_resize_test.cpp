// An ExpertStore that has fewer slots, and more again.
#include <algorithm>

#include "tiers/expert_store.h"
#include "tiers/expert_store_for_test.h"

namespace hypura {
namespace {

using ExpertStoreResize = StoreFixture;

TEST_F(ExpertStoreResize, WithFewerSlotsWhatStaysKeepsItsBytes) {
  make(12, 3);
  for (int pass = 0; pass < 3; ++pass) {
    for (uint32_t layer = 0; layer < kLayers; ++layer) {
      use(layer, {1, 4});
      use(layer, {pass == 2 ? 5U : 0U});
    }
  }
  acquire(0, {1});
  predict(1, {2});
  use_all(0);
  ASSERT_TRUE(store->resize({6, 3, {1, 1, 1}})) << "what was predicted ends";
  EXPECT_TRUE(reader.under_way().empty());
  EXPECT_FALSE(reader.forgotten.empty());
  const uint64_t before = reader.groups().size();
  uint64_t kept = 0;
  for (uint32_t layer = 0; layer < kLayers; ++layer) {
    for (uint32_t expert = 0; expert < kExperts; ++expert) {
      if (store->resident(layer, expert)) {
        ++kept;
        use(layer, {expert});
      }
    }
  }
  EXPECT_EQ(kept, 3U);
  EXPECT_EQ(reader.groups().size(), before) << "nothing is read again";
  use(1, {0, 1, 2, 3, 4, 5});
  use(2, {0, 1, 2, 3, 4, 5}, false);

  ASSERT_TRUE(store->resize({12, 3, {3, 3, 3}}));
  EXPECT_EQ(reader.registered.size(), reader.forgotten.size());
  store->warm_again();
  while (store->warm()) {
    reader.end_all();
  }
  for (uint32_t layer = 0; layer < kLayers; ++layer) {
    EXPECT_TRUE(store->resident(layer, 1) && store->resident(layer, 4)) << layer;
  }
  const uint64_t warm = reader.groups().size();
  use(0, {1, 4});
  EXPECT_EQ(reader.groups().size(), warm);
  EXPECT_FALSE(reader.misplaced);
}

TEST_F(ExpertStoreResize, InTheMidstOfALayerWhatIsLeasedGoesOnInFewerSlots) {
  make(12, 3, {5, 2, 2});
  use(1, {4, 5});
  use(0, {0, 1, 2});
  acquire(0, {0, 1, 2, 3, 4, 5}, false);
  stream_ahead(1, {3});
  ASSERT_EQ(store->hits(), 3U);
  EXPECT_FALSE(store->resize({3, 1, {1, 1, 0}})) << "the leases that are pinned need them all";
  EXPECT_FALSE(std::ranges::any_of(reader.groups(), &FakeReader::Group::cancelled)) << "and nothing was ended";
  ASSERT_TRUE(store->resize({4, 2, {1, 1, 0}}));
  EXPECT_EQ(store->misses_in_slots(), 1U);
  EXPECT_EQ(reader.under_way().size(), 1U);
  EXPECT_FALSE(store->resident(1, 4) || store->resident(1, 5)) << "their slots are wanted by the layer in work";
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_LT(store->leases()[i].slot(), 4U);
    expect_data(0, store->leases()[i]);
  }
  ASSERT_TRUE(store->wait(3));
  store->release_misses(4);
  ASSERT_TRUE(store->resize({9, 3, {2, 2, 2}})) << "and more again";
  for (size_t i = 4; i < 6; ++i) {
    ASSERT_TRUE(store->wait(i));
    expect_data(0, store->leases()[i]);
    store->release_misses(i + 1);
  }
  store->finish();
  acquire(1, {3, 4}, false);
  EXPECT_EQ(reader.under_way().size(), 2U);
  use_all(1);
  EXPECT_FALSE(reader.misplaced);
}

TEST_F(ExpertStoreResize, AReadThatFailedBeforeAResizeIsMadeAgain) {
  make(12, 3);
  acquire(0, {0, 1});
  reader.fail_group(1, {ErrorCode::kIo, "gone"});
  ASSERT_TRUE(store->resize({6, 3, {1, 1, 1}}));
  EXPECT_EQ(reader.groups().size(), 4U);
  use_all(0);
}

TEST_F(ExpertStoreResize, WhatWasPredictedIsReadAgainAfterAResize) {
  make(12, 4);
  acquire(0, {0});
  ASSERT_TRUE(store->wait(0));
  predict(1, {2});
  EXPECT_EQ(reader.under_way().size(), 1U);
  ASSERT_TRUE(store->resize({8, 4, {2, 1, 1}}));
  EXPECT_EQ(reader.under_way().size(), 1U);
  store->release_misses(1);
  store->finish();
  acquire(1, {2});
  EXPECT_EQ(stats.prefetches_used, 1U);
  use_all(1);
}

TEST_F(ExpertStoreResize, FromAllToFewAndBackAndAFailedReadBetween) {
  make(kLayers * kExperts, 0);
  for (uint32_t layer = 0; layer < kLayers; ++layer) {
    use(layer, {0, 1, 2, 3, 4, 5});
  }
  predict(0, {1});
  ASSERT_TRUE(store->resize({3, 2, {1, 0, 0}}));
  acquire(1, {0, 1, 2});
  reader.fail_group(reader.groups().size(), {ErrorCode::kIo, "gone"});
  Status status;
  for (size_t i = 0; status && i < 3; ++i) {
    status = store->wait(i);
    if (status) {
      store->release_misses(i + 1);
    }
  }
  EXPECT_FALSE(status);
  store->finish();
  ASSERT_TRUE(store->resize({kLayers * kExperts, 0, {kExperts, kExperts, kExperts}}));
  for (uint32_t layer = 0; layer < kLayers; ++layer) {
    use(layer, {0, 1, 2, 3, 4, 5});
    use(layer, {0, 1, 2, 3, 4, 5});
  }
  EXPECT_TRUE(store->holds_all());
}

}  // namespace
}  // namespace hypura
