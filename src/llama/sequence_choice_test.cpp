#include "llama/sequence_choice.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace hypura {
namespace {

std::vector<int32_t> numbers(int32_t from, int32_t to) {
  std::vector<int32_t> all(static_cast<size_t>(to - from));
  std::iota(all.begin(), all.end(), from);
  return all;
}

SequenceChoice choose(const std::vector<SequenceView>& sequences, const std::vector<int32_t>& prompt,
                      bool can_cut = true) {
  return choose_sequence(sequences, prompt, can_cut);
}

TEST(ChooseSequence, TakesTheOneUnusedForLongest) {
  const std::vector<int32_t> other = numbers(500, 600);
  const auto it = choose({{other, true, 7}, {other, true, 3}, {other, false, 1}}, numbers(0, 10));
  EXPECT_EQ(it.sequence, 1U);
  EXPECT_EQ(it.donor, 1U);
  EXPECT_EQ(it.reused, 0U);
}

TEST(ChooseSequence, SmallRequestsBesideDoNotPushALongConversationOut) {
  const std::vector<int32_t> conversation = numbers(500, 1500);
  const std::vector<int32_t> title = numbers(2000, 2100);
  EXPECT_EQ(choose({{conversation, true, 1}, {title, true, 2}, {title, true, 3}}, numbers(0, 10)).sequence, 1U);
  EXPECT_EQ(choose({{conversation, true, 1}, {title, true, 3}, {{}, true, 0}}, numbers(0, 10)).sequence, 2U);
  EXPECT_EQ(choose({{conversation, true, 1}, {title, false, 3}}, numbers(0, 10)).sequence, 0U);
  const std::vector<int32_t> half = numbers(5000, 5500);
  EXPECT_EQ(choose({{conversation, true, 1}, {half, true, 2}}, numbers(0, 10)).sequence, 0U) << "both are long";
}

TEST(ChooseSequence, GoesOnWithAConversation) {
  const std::vector<int32_t> held = numbers(0, 100);
  const auto it = choose({{{}, true, 0}, {held, true, 9}}, numbers(0, 150));
  EXPECT_EQ(it.sequence, 1U);
  EXPECT_EQ(it.donor, 1U);
  EXPECT_EQ(it.reused, 100U);
}

TEST(ChooseSequence, EvaluatesTheLastTokenAnew) {
  const std::vector<int32_t> held = numbers(0, 100);
  EXPECT_EQ(choose({{held, true, 0}}, held).reused, 99U);
  EXPECT_EQ(choose({{held, true, 0}}, numbers(0, 1)).reused, 0U);
}

TEST(ChooseSequence, CopiesASharedBeginningRatherThanLoseTheRest) {
  const std::vector<int32_t> held = numbers(0, 100);
  std::vector<int32_t> prompt = numbers(0, 30);
  prompt.push_back(7000);
  const auto it = choose({{held, true, 1}, {{}, true, 0}}, prompt);
  EXPECT_EQ(it.sequence, 1U);
  EXPECT_EQ(it.donor, 0U);
  EXPECT_EQ(it.reused, 30U);
}

TEST(ChooseSequence, CopiesFromARunningAnswer) {
  const std::vector<int32_t> held = numbers(0, 100);
  const auto it = choose({{held, false, 5}, {numbers(900, 950), true, 1}}, numbers(0, 100));
  EXPECT_EQ(it.sequence, 1U);
  EXPECT_EQ(it.donor, 0U);
  EXPECT_EQ(it.reused, 99U);
}

TEST(ChooseSequence, RatherGoesOnThanCopies) {
  const std::vector<int32_t> held = numbers(0, 100);
  const auto it = choose({{held, false, 5}, {{}, true, 0}, {held, true, 9}}, numbers(0, 120));
  EXPECT_EQ(it.sequence, 2U);
  EXPECT_EQ(it.donor, 2U);
}

TEST(ChooseSequence, TheOnlySequenceIsItsOwnDonor) {
  const std::vector<int32_t> held = numbers(0, 100);
  std::vector<int32_t> prompt = numbers(0, 30);
  prompt.push_back(7000);
  const auto it = choose({{held, true, 1}}, prompt);
  EXPECT_EQ(it.sequence, 0U);
  EXPECT_EQ(it.donor, 0U);
  EXPECT_EQ(it.reused, 30U);
}

TEST(ChooseSequence, SharesRatherThanLoseWhatAnotherTurnMayWant) {
  const std::vector<int32_t> held = numbers(0, 100);
  std::vector<int32_t> prompt = numbers(0, 90);
  prompt.push_back(7000);
  EXPECT_EQ(choose({{held, true, 1}, {{}, true, 0}}, prompt).sequence, 1U);
  EXPECT_EQ(choose({{held, true, 3, 95}, {numbers(500, 504), true, 2}}, prompt).sequence, 1U) << "loses 5, or 4";
  EXPECT_EQ(choose({{held, true, 3, 95}, {numbers(500, 520), true, 2}}, prompt).sequence, 0U) << "or 20";
  EXPECT_EQ(choose({{held, true, 1, 100}, {{}, true, 0}}, prompt).sequence, 0U) << "another one has all of it";
}

TEST(LeastWorth, TheSmallGoFirstAndOfThoseAlikeTheOldest) {
  const std::vector<int32_t> longest = numbers(0, 3000);
  const std::vector<int32_t> middle = numbers(5000, 5500);
  const std::vector<int32_t> title = numbers(9000, 9030);
  const auto least = [](const std::vector<SequenceView>& all) { return least_worth(all); };
  EXPECT_EQ(least({{longest, true, 1}, {middle, true, 2}, {title, true, 8}, {title, true, 9}}), 2U);
  EXPECT_EQ(least({{longest, true, 1}, {middle, true, 2}, {title, false, 8}}), 1U);
  EXPECT_EQ(least({{longest, true, 1}, {middle, true, 2, 495}, {title, true, 8}}), 1U) << "only five are its own";
  EXPECT_EQ(least({{longest, true, 1}, {longest, true, 2}, {{}, true, 0}}), 0U) << "the empty one has nothing to give";
  EXPECT_EQ(least({{longest, false, 1}, {{}, true, 0}}), std::nullopt);
}

TEST(LeastWorth, WhatWasForgottenForLongGoesInTheEnd) {
  const std::vector<int32_t> longest = numbers(0, 3000);
  const std::vector<int32_t> title = numbers(9000, 9030);
  EXPECT_EQ(least_worth(std::vector<SequenceView>{{longest, true, 1}, {title, true, 400}}), 1U);
  EXPECT_EQ(least_worth(std::vector<SequenceView>{{longest, true, 1}, {title, true, 600}}), 0U);
}

TEST(ChooseSequence, AStateThatCannotBeCutIsOnlyGoneOnWith) {
  const std::vector<int32_t> held = numbers(0, 100);
  EXPECT_EQ(choose({{held, true, 0}}, numbers(0, 99), false).reused, 0U);
  EXPECT_EQ(choose({{held, true, 0}}, numbers(0, 100), false).reused, 0U);
  EXPECT_EQ(choose({{held, true, 0}}, numbers(0, 101), false).reused, 100U);
  EXPECT_EQ(choose({{held, false, 0}, {{}, true, 0}}, numbers(0, 101), false).reused, 0U);
}

}  // namespace
}  // namespace hypura
