#include "tiers/expert_store.h"

#include "tiers/expert_store_for_test.h"

namespace hypura {
namespace {

class ExpertStoreTest : public StoreFixture {};

TEST_F(ExpertStoreTest, AMissIsPendingUntilItHasArrived) {
  make(8, 2);
  acquire(0, {1, 4});
  EXPECT_EQ(store->hits(), 0U);
  EXPECT_EQ(leased(), Experts({1, 4}));
  ASSERT_EQ(reader.groups().size(), 2U) << "one read for all matrices of an expert";
  EXPECT_EQ(reader.groups()[0].priority, Priority::kDemand);
  EXPECT_FALSE(store->ready(0));
  reader.end(1);
  EXPECT_TRUE(store->ready(0));
  EXPECT_FALSE(store->ready(1));
  EXPECT_FALSE(store->resident(0, 1)) << "what is not admitted is not there";
  use_all(0);
  EXPECT_TRUE(store->resident(0, 1));
  EXPECT_TRUE(store->resident(0, 4));
  EXPECT_EQ(reader.blocked, 1);
  EXPECT_EQ(rests, 1) << "told only before it blocks";
  EXPECT_FALSE(reader.misplaced);
}

TEST_F(ExpertStoreTest, HitsComeFirstAndReadNothing) {
  make(16, 2);
  use(0, {2, 5});
  const size_t reads = reader.groups().size();
  acquire(0, {1, 2, 3, 5});
  EXPECT_EQ(store->hits(), 2U);
  EXPECT_EQ(leased(), Experts({2, 5, 1, 3}));
  EXPECT_TRUE(store->ready(0));
  EXPECT_TRUE(store->ready(1));
  EXPECT_EQ(reader.groups().size(), reads + 2);
  use_all(0);
  use(0, {2, 5});
  EXPECT_EQ(reader.groups().size(), reads + 2);
}

TEST_F(ExpertStoreTest, ReadsMayEndInAnyOrder) {
  make(8, 4);
  acquire(1, {0, 2, 3, 5});
  for (const ReadGroup group : {4, 2, 3}) {
    reader.end(group);
  }
  EXPECT_FALSE(store->ready(0));
  EXPECT_TRUE(store->ready(1) && store->ready(2) && store->ready(3));
  use_all(1);
  EXPECT_EQ(reader.blocked, 1);
}

TEST_F(ExpertStoreTest, AnExpertThatManyTokensChoseIsReadAndCountedOnce) {
  make(8, 4);
  const std::vector<uint16_t> chosen = {3, 1, 3, 2, 3, 1};  // three tokens
  const Experts experts = {1, 2, 3};
  store->acquire(0, {chosen, 2, false}, experts);
  EXPECT_EQ(reader.groups().size(), 3U);
  use_all(0);
  EXPECT_EQ(stats.prefill_lookups, 3U);
  EXPECT_EQ(stats.decode_lookups, 0U);
}

TEST_F(ExpertStoreTest, MoreExpertsThanSlotsPassThroughThem) {
  make(3, 2, {1, 0, 0});
  use(0, {0});
  acquire(0, {0, 1, 2, 3, 4, 5}, false);
  EXPECT_EQ(store->hits(), 1U);
  EXPECT_EQ(reader.under_way().size(), 2U);
  EXPECT_FALSE(store->ready(3)) << "it has no slot yet";
  use_all(0);
  EXPECT_EQ(reader.groups().size(), 6U);
  EXPECT_TRUE(reader.under_way().empty());
  uint32_t kept = 0;
  for (uint32_t expert = 0; expert < kExperts; ++expert) {
    kept += store->resident(0, expert) ? 1 : 0;
  }
  EXPECT_EQ(kept, 1U);
}

TEST_F(ExpertStoreTest, LookupsAndHitsAreCountedByPhase) {
  make(16, 4);
  use(0, {0, 1}, false);
  use(0, {0, 1, 2}, false);
  use(0, {1, 2, 3}, true);
  EXPECT_EQ(stats.prefill_lookups, 5U);
  EXPECT_EQ(stats.prefill_hits, 2U);
  EXPECT_EQ(stats.decode_lookups, 3U);
  EXPECT_EQ(stats.decode_hits, 2U);
}

// --- failures

TEST_F(ExpertStoreTest, AFailedReadIsAnErrorAndTheExpertStaysAbsent) {
  make(8, 4, {0, 3, 1});
  for (const char* message : {"cannot read", "'model.gguf' ends too early"}) {
    acquire(1, {0, 2, 4});
    reader.fail_group(reader.groups().size() - 1, {ErrorCode::kIo, message});
    ASSERT_TRUE(store->wait(0));
    const Status failed = store->wait(1);
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, ErrorCode::kIo);
    EXPECT_EQ(failed.error().message, std::string("expert 2 of layer 11: ") + message);
    store->finish();
    EXPECT_FALSE(store->resident(1, 2));
    EXPECT_TRUE(reader.under_way().empty()) << "what was asked for besides has ended";
  }
  use(1, {0, 2, 4});
  EXPECT_TRUE(store->resident(1, 2));
}

TEST_F(ExpertStoreTest, ALayerThatIsGivenUpCancelsItsReads) {
  make(8, 4);
  reader.issue_at_once = false;
  acquire(0, {0, 1, 2, 3});
  ASSERT_TRUE(store->wait(0));
  store->finish();
  EXPECT_TRUE(reader.under_way().empty());
  EXPECT_EQ(reader.blocked, 1) << "nothing that was not issued is waited for";
  EXPECT_TRUE(store->resident(0, 0));
  EXPECT_FALSE(store->resident(0, 1));
  use(0, {0, 1, 2, 3});
}

TEST_F(ExpertStoreTest, NoReadOutlivesIt) {
  for (const bool issued : {true, false}) {
    make(16, 4);
    reader.issue_at_once = issued;
    acquire(0, {0, 1});
    ASSERT_TRUE(store->wait(0));
    ASSERT_TRUE(store->wait(1));
    predict(1, {2, 3});
    store->finish();
    acquire(1, {4});
    store.reset();
    EXPECT_TRUE(reader.under_way().empty());
  }
}

// --- prefetching

TEST_F(ExpertStoreTest, WhatIsOnItsWayBecomesTheLease) {
  make(16, 8);
  use(0, {0, 1});
  acquire(0, {0, 1});
  predict(1, {5, 2});
  use_all(0);
  ASSERT_EQ(reader.groups().size(), 4U);
  EXPECT_EQ(reader.groups()[2].priority, Priority::kPrefetch);
  EXPECT_EQ(stats.prefetches, 2U);
  const uint64_t hits = stats.decode_hits;
  reader.end(3);
  EXPECT_FALSE(store->resident(1, 5)) << "nobody has asked for it";

  acquire(1, {0, 2, 5});
  EXPECT_EQ(store->hits(), 0U) << "it arrived in time, but it is a lookup and no hit";
  EXPECT_EQ(leased(), Experts({5, 2, 0})) << "what is on its way comes first, in its order";
  EXPECT_TRUE(store->ready(0));
  EXPECT_EQ(reader.groups().size(), 5U) << "nothing is read twice";
  EXPECT_EQ(reader.groups()[2].priority, Priority::kDemand) << "before it is waited for";
  use_all(1);
  EXPECT_EQ(stats.prefetches_used, 2U);
  EXPECT_EQ(stats.decode_hits, hits);
}

TEST_F(ExpertStoreTest, PrefetchingWaitsForWhatWasAskedFor) {
  make(16, 8);
  acquire(0, {0, 1});
  predict(1, {3});
  EXPECT_EQ(reader.groups().size(), 2U);
  ASSERT_TRUE(store->wait(0));
  EXPECT_EQ(reader.groups().size(), 2U);
  ASSERT_TRUE(store->wait(1));
  EXPECT_EQ(reader.groups().size(), 3U);
  store->release_misses(2);
  store->finish();
}

TEST_F(ExpertStoreTest, PrefetchingLeavesASlotFree) {
  make(4, 4, {0, 0, 0});
  use(0, {0});
  acquire(0, {0});
  predict(1, {0, 1, 2, 3, 4});
  ASSERT_TRUE(store->wait(0));
  EXPECT_EQ(stats.prefetches, 4 - 1 - ExpertStore::kReserve) << "but for the lease's and the reserve";
  store->release_misses(1);
  store->finish();
}

TEST_F(ExpertStoreTest, WhatIsThereOrOnItsWayIsNotPrefetched) {
  make(16, 8);
  use(1, {2, 3});
  const size_t reads = reader.groups().size();
  use(0, {0});
  acquire(0, {0});
  predict(1, {2, 4, 3});
  use_all(0);
  EXPECT_EQ(reader.groups().size(), reads + 2);
  use(1, {2, 3, 4});
}

TEST_F(ExpertStoreTest, WhatWasNotChosenIsCancelledAndMovesNothing) {
  make(7, 4, {1, 1, 1});
  use(1, {0});
  use(0, {0});
  reader.issue_at_once = false;
  acquire(0, {0});
  predict(1, {3, 4, 5});
  use_all(0);
  ASSERT_EQ(stats.prefetches, 3U);
  acquire(1, {0});
  EXPECT_EQ(store->hits(), 1U);
  EXPECT_TRUE(reader.groups().back().cancelled);
  use_all(1);
  EXPECT_TRUE(reader.under_way().empty()) << "their slots are free again";
  EXPECT_EQ(stats.prefetches_used, 0U);
  EXPECT_FALSE(store->resident(1, 3));
}

TEST_F(ExpertStoreTest, ACancelledReadThatGoesOnHoldsItsSlotUntilItEnds) {
  make(4, 4, {0, 0, 0});
  use(0, {0});
  acquire(0, {0});
  predict(1, {0, 1});
  use_all(0);
  ASSERT_EQ(stats.prefetches, 2U);
  acquire(1, {3, 4, 5}, false);  // two slots are free
  EXPECT_FALSE(store->ready(2));
  EXPECT_EQ(reader.under_way().size(), 4U);
  use_all(1);
}

TEST_F(ExpertStoreTest, WhereNothingElseFreesASlotCancelledReadsAreWaitedFor) {
  make(3, 2, {1, 0, 0});
  acquire(2, {});
  predict(0, {1, 2, 3});
  store->finish();
  ASSERT_EQ(stats.prefetches, 2U);
  acquire(0, {4, 5}, false);
  ASSERT_TRUE(store->wait(0));
  EXPECT_EQ(reader.under_way().size(), 2U) << "the cancelled ones";
  store->release_misses(1);  // 4 stays, so that there is no slot for 5
  EXPECT_EQ(reader.under_way().size(), 2U) << "one of the cancelled, and 5";
  ASSERT_TRUE(store->wait(1));
  expect_data(0, store->leases()[1]);
  store->release_misses(2);
  store->finish();
}

TEST_F(ExpertStoreTest, ACancelledPrefetchThatIsAskedForAtOnceIsReadAnew) {
  for (const bool issued : {true, false}) {
    make(16, 8);
    use(0, {0});
    reader.issue_at_once = issued;
    acquire(0, {0});
    predict(1, {3});
    use_all(0);
    use(1, {2});  // 3 is not among them
    const size_t reads = reader.groups().size();
    acquire(1, {3});
    EXPECT_EQ(store->hits(), 0U);
    EXPECT_EQ(reader.groups().size(), reads + 1);
    use_all(1);
    EXPECT_EQ(stats.prefetches_used, 0U);
    store.reset();
  }
}

TEST_F(ExpertStoreTest, WhereAllHaveASlotWrongPredictionsAreKept) {
  make(kLayers * kExperts, 0);
  use(0, {0});
  acquire(0, {0});
  predict(1, {3, 4, 5});
  use_all(0);
  reader.end(2);
  use(1, {2});
  EXPECT_TRUE(store->resident(1, 3)) << "it had arrived";
  EXPECT_FALSE(reader.groups()[2].cancelled);
  acquire(1, {3, 4});
  EXPECT_EQ(store->hits(), 1U);
  EXPECT_EQ(leased(), Experts({3, 4}));
  EXPECT_EQ(reader.groups().size(), 5U) << "the read that was left to end is the lease's";
  use_all(1);
  EXPECT_EQ(stats.prefetches_used, 1U);
}

TEST_F(ExpertStoreTest, APrefetchThatFailsFailsOnlyWhoAsksForIt) {
  make(16, 8);
  use(0, {0});
  acquire(0, {0});
  predict(1, {3, 4});
  use_all(0);
  reader.fail_group(2, {ErrorCode::kIo, "cannot read"});
  reader.fail_group(3, {ErrorCode::kIo, "cannot read"});
  acquire(1, {3});
  EXPECT_EQ(store->wait(0).error().code, ErrorCode::kIo);
  store->finish();
  use(1, {3, 4});
}

TEST_F(ExpertStoreTest, PredictionsAreScoredAgainstWhatTheLayerChose) {
  make(16, 8);
  use(1, {0});
  acquire(0, {0, 1});
  predict(1, {5, 0, 3});
  use_all(0);
  EXPECT_EQ(stats.predictions, 0U);
  use(1, {0, 2, 3, 4});
  EXPECT_EQ(stats.predictions, 3U);
  EXPECT_EQ(stats.predictions_correct, 2U) << "resident or not";
  EXPECT_EQ(stats.predictable, 4U);
  use(1, {0, 3});
  EXPECT_EQ(stats.predictions, 3U) << "only once";
  acquire(0, {0, 1});
  predict(1, {0});
  use_all(0);
  use(2, {0});
  use(1, {0});
  EXPECT_EQ(stats.predictions, 3U) << "another layer came";
}

// Of two predictions the first is always right, the second never.
TEST_F(ExpertStoreTest, WhatWasWrongOfLateIsReadNoMore) {
  make(7, 4, {1, 0, 1});
  use(0, {0});
  const auto read_ahead = [&] {
    const uint64_t before = stats.prefetches;
    acquire(0, {0});
    predict(1, {1, 2});
    use_all(0);
    use(1, {1});
    return stats.prefetches - before;
  };
  EXPECT_EQ(read_ahead(), 2U) << "nothing is known yet";
  for (int i = 0; i < 8; ++i) {
    read_ahead();
  }
  EXPECT_EQ(read_ahead(), 1U);
  const uint64_t used = stats.prefetches_used;
  read_ahead();
  EXPECT_EQ(stats.prefetches_used, used + 1) << "the right one";
  EXPECT_EQ(stats.predictions, 11 * 2U) << "what is not read is scored all the same";
}

TEST_F(ExpertStoreTest, InPromptsPrefetchesAreNotCounted) {
  make(16, 8);
  acquire(0, {0, 1}, false);
  predict(1, {0, 1, 2, 3, 4, 5});
  use_all(0);
  EXPECT_GT(reader.groups().size(), 2U);
  use(1, {0, 1, 2}, false);
  EXPECT_EQ(stats.prefetches, 0U);
  EXPECT_EQ(stats.prefetches_used, 0U);
  EXPECT_EQ(stats.predictions, 0U);
}

TEST_F(ExpertStoreTest, APromptReadsOnAsSlotsBecomeFree) {
  make(4, 4, {0, 0, 0});
  acquire(0, {0, 1, 2, 3, 4}, false);
  stream_ahead(1, {5, 2, 0});
  EXPECT_EQ(store->misses_in_slots(), 4U);
  for (const size_t lease : {0, 1}) {
    ASSERT_TRUE(store->wait(lease));
    store->release_misses(lease + 1);
    EXPECT_EQ(reader.groups().size(), 5U) << "its own experts, and a slot that is left free";
  }
  ASSERT_TRUE(store->wait(2));
  store->release_misses(3);
  ASSERT_EQ(reader.groups().size(), 6U) << "though two of the layer's are under way";
  EXPECT_EQ(reader.groups()[5].priority, Priority::kDemand);
  ASSERT_TRUE(store->wait(3));
  store->release_misses(4);
  EXPECT_EQ(reader.groups().size(), 7U);
  ASSERT_TRUE(store->wait(4));
  EXPECT_EQ(reader.groups().size(), 7U) << "no slot has become free";
  store->release_misses(5);
  store->finish();
  EXPECT_EQ(reader.groups().size(), 8U);
  acquire(1, {0, 1, 2}, false);
  EXPECT_EQ(leased(), Experts({2, 0, 1})) << "5 was not chosen";
  EXPECT_TRUE(reader.groups()[5].cancelled);
  use_all(1);
  EXPECT_EQ(reader.groups().size(), 9U);
  EXPECT_EQ(stats.prefetches, 0U);
}

TEST_F(ExpertStoreTest, APromptReadsTheFirstLayerBeforeItIsAskedFor) {
  make(8, 4, {1, 1, 1});
  stream_ahead(0, {3, 1});
  EXPECT_EQ(reader.groups().size(), 2U);
  acquire(0, {1, 2, 3}, false);
  EXPECT_EQ(leased(), Experts({3, 1, 2}));
  EXPECT_EQ(reader.groups().size(), 3U);
  use_all(0);
}

}  // namespace
}  // namespace hypura
