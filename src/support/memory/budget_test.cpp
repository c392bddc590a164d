#include "support/memory/budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <utility>

#include "support/units.h"

namespace hypura {
namespace {

using testing::HasSubstr;

TEST(Budget, HoldsWhatIsReservedUntilItGoes) {
  Budget budget(10 * kMiB);
  {
    const auto slots = budget.reserve(Purpose::kExpertSlots, Tier::kRam, 4 * kMiB);
    ASSERT_TRUE(slots);
    EXPECT_EQ(slots->bytes(), 4 * kMiB);
    EXPECT_EQ(budget.reserved(Tier::kRam), 4 * kMiB);
  }
  EXPECT_EQ(budget.reserved(Tier::kRam), 0U);
  EXPECT_TRUE(budget.ledger().empty());
  EXPECT_TRUE(budget.reserve(Purpose::kRing, Tier::kRam, 10 * kMiB)) << "to the last byte";
}

TEST(Budget, RefusesWhatIsNotLeftAndSaysWhy) {
  Budget budget(10 * kMiB);
  auto ring = budget.reserve(Purpose::kRing, Tier::kRam, 7 * kMiB);
  ASSERT_TRUE(ring);
  const auto more = budget.reserve(Purpose::kKvCache, Tier::kRam, 3 * kMiB + 1);
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, ErrorCode::kBudget);
  EXPECT_THAT(more.error().message,
              testing::AllOf(HasSubstr("KV cache"), HasSubstr("10.0 MiB in RAM"), HasSubstr("7.0 MiB are taken")));
  EXPECT_EQ(budget.reserved(Tier::kRam), 7 * kMiB) << "a refusal takes nothing";
  EXPECT_FALSE(budget.reserve(Purpose::kKvCache, Tier::kRam, UINT64_MAX));
  ring->release();
  EXPECT_TRUE(budget.reserve(Purpose::kKvCache, Tier::kRam, 3 * kMiB + 1));
}

TEST(Budget, EveryTierHasItsOwn) {
  Budget budget(10 * kMiB, kMiB);
  const auto ram = budget.reserve(Purpose::kPinnedWeights, Tier::kRam, 10 * kMiB);
  const auto device = budget.reserve(Purpose::kPinnedWeights, Tier::kDevice, kMiB);
  EXPECT_TRUE(ram && device);
  EXPECT_EQ(budget.ledger().size(), 2U);
  EXPECT_FALSE(budget.reserve(Purpose::kPinnedWeights, Tier::kDevice, 1));
  EXPECT_FALSE(budget.reserve(Purpose::kPinnedWeights, Tier::kDisk, 1)) << "a disk is no memory";
  EXPECT_FALSE(Budget(kMiB).reserve(Purpose::kRing, Tier::kDevice, 1)) << "there is no device";
}

TEST(Budget, ListsByPurpose) {
  Budget budget(10 * kMiB);
  const auto kv = budget.reserve(Purpose::kKvCache, Tier::kRam, 1);
  const auto weights = budget.reserve(Purpose::kResidentWeights, Tier::kRam, 20);
  const auto more = budget.reserve(Purpose::kResidentWeights, Tier::kRam, 300);
  const auto nothing = budget.reserve(Purpose::kRing, Tier::kRam, 0);
  ASSERT_TRUE(kv && weights && more && nothing);
  const std::vector<LedgerLine> ledger = budget.ledger();
  ASSERT_EQ(ledger.size(), 3U);
  EXPECT_EQ(ledger[0].purpose, Purpose::kResidentWeights);
  EXPECT_EQ(ledger[0].bytes, 320U);
  EXPECT_EQ(ledger[1].purpose, Purpose::kRing);
  EXPECT_EQ(ledger[2].purpose, Purpose::kKvCache);
}

TEST(Reservation, MovesWithItsBytes) {
  Budget budget(100);
  Reservation first = std::move(*budget.reserve(Purpose::kRing, Tier::kRam, 30));
  Reservation second = std::move(first);
  EXPECT_EQ(first.bytes(), 0U);  // NOLINT(bugprone-use-after-move): a moved-from one is of nothing
  EXPECT_EQ(second.bytes(), 30U);
  EXPECT_EQ(budget.reserved(Tier::kRam), 30U);
  second = std::move(*budget.reserve(Purpose::kKvCache, Tier::kRam, 50));
  EXPECT_EQ(budget.reserved(Tier::kRam), 50U) << "what it held before is given back";
  second = Reservation();
  EXPECT_EQ(budget.reserved(Tier::kRam), 0U);
}

TEST(Reservation, IsCorrectedToTheTruthWhateverThatIs) {
  Budget budget(100);
  auto kv = budget.reserve(Purpose::kKvCache, Tier::kRam, 40);
  ASSERT_TRUE(kv);
  kv->correct(130);
  EXPECT_EQ(budget.reserved(Tier::kRam), 130U);
  EXPECT_FALSE(budget.reserve(Purpose::kRing, Tier::kRam, 1)) << "over its limit it refuses everything";
  kv->correct(90);
  EXPECT_TRUE(budget.reserve(Purpose::kRing, Tier::kRam, 10));
  kv->release();
  kv->correct(5);
  EXPECT_EQ(budget.reserved(Tier::kRam), 0U) << "what was given back is not corrected";
}

TEST(Budget, ThreadsNeverHaveMoreThanThereIs) {
  Budget budget(1000);
  std::vector<std::thread> threads;
  std::atomic<int> refused{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int turn = 0; turn < 2000; ++turn) {
        auto one = budget.reserve(Purpose::kExpertSlots, Tier::kRam, 200);
        auto other = budget.reserve(Purpose::kRing, Tier::kRam, 150);
        refused += one && other ? 0 : 1;
        EXPECT_LE(budget.reserved(Tier::kRam), 1000U);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(budget.reserved(Tier::kRam), 0U);
  EXPECT_LE(refused, 8000);
}

TEST(Budget, MayHaveLessAndMoreAgain) {
  Budget budget(10 * kMiB, kMiB);
  const auto slots = budget.reserve(Purpose::kExpertSlots, Tier::kRam, 6 * kMiB);
  ASSERT_TRUE(slots);
  budget.set_ram_limit(4 * kMiB);
  EXPECT_EQ(budget.limit(Tier::kRam), 4 * kMiB);
  EXPECT_EQ(budget.limit(Tier::kDevice), kMiB);
  EXPECT_FALSE(budget.reserve(Purpose::kRing, Tier::kRam, 1)) << "more is reserved already";
  budget.set_ram_limit(8 * kMiB);
  EXPECT_TRUE(budget.reserve(Purpose::kRing, Tier::kRam, 2 * kMiB));
}

}  // namespace
}  // namespace hypura
