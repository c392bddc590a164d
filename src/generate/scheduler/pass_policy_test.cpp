#include "generate/scheduler/pass_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace hypura {
namespace {

using testing::ElementsAre;

constexpr PassLimits kLimits = {512, 512};
constexpr Rider kAnswer = {1, true};

Rider prompt(uint32_t tokens) {
  return {tokens, false};
}

std::vector<uint32_t> share(const std::vector<Rider>& riders, const PassLimits& limits = kLimits, uint64_t first = 0) {
  return share_pass(riders, limits, first);
}

TEST(SharePass, EveryAnswerRides) {
  EXPECT_THAT(share({kAnswer, kAnswer, kAnswer}), ElementsAre(1, 1, 1));
  EXPECT_THAT(share({kAnswer, prompt(10000), kAnswer}), ElementsAre(1, 510, 1));
}

TEST(SharePass, NobodyRidesWithoutTokens) {
  EXPECT_THAT(share({}), ElementsAre());
  EXPECT_THAT(share({prompt(0), {0, true}}), ElementsAre(0, 0));
}

TEST(SharePass, PromptsShareEvenlyAndShortOnesLeaveTheRest) {
  EXPECT_THAT(share({prompt(10000), prompt(10000)}), ElementsAre(256, 256));
  EXPECT_THAT(share({prompt(10000), prompt(12), prompt(10000)}), ElementsAre(250, 12, 250));
  EXPECT_THAT(share({prompt(100), prompt(3)}), ElementsAre(100, 3));
}

TEST(SharePass, WhatCannotBeSharedEvenlyGoesInTurn) {
  EXPECT_THAT(share({prompt(9), prompt(9), prompt(9)}, {5, 5}, 0), ElementsAre(2, 2, 1));
  EXPECT_THAT(share({prompt(9), prompt(9), prompt(9)}, {5, 5}, 2), ElementsAre(2, 1, 2));
}

TEST(SharePass, PromptsAreHeldBackBesideAnswers) {
  EXPECT_THAT(share({prompt(1000), kAnswer}, {512, 64}), ElementsAre(64, 1));
  EXPECT_THAT(share({prompt(1000)}, {512, 64}), ElementsAre(512));
}

TEST(SharePass, MoreAnswersThanRoomTakeTurns) {
  const std::vector<Rider> riders(3, kAnswer);
  std::vector<uint32_t> sum(3);
  for (uint64_t pass = 0; pass < 3; ++pass) {
    const auto shares = share(riders, {2, 2}, pass);
    EXPECT_EQ(std::accumulate(shares.begin(), shares.end(), 0U), 2U);
    std::transform(sum.begin(), sum.end(), shares.begin(), sum.begin(), std::plus<>());
  }
  EXPECT_THAT(sum, ElementsAre(2, 2, 2));
}

TEST(SharePass, NoPromptStarves) {
  std::vector<Rider> riders = {kAnswer, prompt(5000), prompt(40), prompt(700)};
  std::vector<uint32_t> passes(riders.size());
  for (uint64_t pass = 0; pass < 100; ++pass) {
    const auto shares = share(riders, {64, 32}, pass);
    EXPECT_EQ(shares[0], 1U);
    EXPECT_LE(shares[1] + shares[2] + shares[3], 32U);
    for (size_t i = 1; i < riders.size(); ++i) {
      passes[i] += riders[i].pending > 0 ? 1 : 0;
      riders[i].pending -= shares[i];
    }
  }
  EXPECT_LE(passes[2], 4U);
  EXPECT_LE(passes[3], 47U);
}

std::vector<int32_t> numbers(int32_t from, int32_t to) {
  std::vector<int32_t> all(static_cast<size_t>(to - from));
  std::iota(all.begin(), all.end(), from);
  return all;
}

TEST(CutMiddle, KeepsTheBeginningAndTheEnd) {
  EXPECT_THAT(cut_middle(numbers(0, 100), 2, 10), ElementsAre(0, 1, 97, 98, 99));
  EXPECT_THAT(cut_middle(numbers(0, 100), 50, 10), ElementsAre(0, 1, 2, 3, 99));
  EXPECT_THAT(cut_middle(numbers(0, 100), 4, 1), ElementsAre(99));
}

TEST(DropHalf, KeepsTheBeginningAndTheLaterHalf) {
  EXPECT_THAT(drop_half(numbers(0, 14), 6), ElementsAre(0, 1, 2, 3, 4, 5, 10, 11, 12, 13));
  EXPECT_THAT(drop_half(numbers(0, 10), 2), ElementsAre(0, 1, 2, 3, 7, 8, 9)) << "attention sinks";
  EXPECT_THAT(drop_half(numbers(0, 2), 4), ElementsAre(0));
  EXPECT_THAT(drop_half(numbers(0, 1), 0), ElementsAre());
}

}  // namespace
}  // namespace hypura
