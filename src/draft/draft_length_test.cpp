#include "draft/draft_length.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace hypura {
namespace {

TEST(PassCosts, FollowsWhatWasSeen) {
  PassCosts costs;
  EXPECT_EQ(costs.seconds(4), 0);
  costs.note(2, 1.0);
  EXPECT_DOUBLE_EQ(costs.seconds(1), 1.0);
  EXPECT_DOUBLE_EQ(costs.seconds(12), 1.1);
  costs.note(4, 2.0);
  EXPECT_DOUBLE_EQ(costs.seconds(3), 1.5);
  EXPECT_DOUBLE_EQ(costs.seconds(6), 3.0);
  costs.note(8, 0.5);
  EXPECT_DOUBLE_EQ(costs.seconds(100), 0.5) << "more tokens never take less for certain";
  for (int i = 0; i < 100; ++i) {
    costs.note(2, 3.0);
  }
  EXPECT_NEAR(costs.seconds(2), 3.0, 0.01);
}

TEST(DraftQuality, ExpectsWhatAcceptanceGives) {
  DraftQuality quality;
  for (int i = 0; i < 200; ++i) {
    quality.note(4, i % 2 == 0 ? 4 : 0, 0.4);
  }
  EXPECT_NEAR(quality.acceptance(), 0.8, 0.02);  // 4 of 4 tried, then 0 of 1
  EXPECT_DOUBLE_EQ(quality.expected(0), 1.0);
  const double p = quality.acceptance();
  EXPECT_NEAR(quality.expected(2), 1 + p + p * p, 1e-9);
  EXPECT_NEAR(quality.seconds(), 0.1, 1e-9);
}

// Runs passes on a model whose passes of n tokens take `cost(n)`, and accepts drafts with probability `p`, by a
// fixed sequence. Gives tokens a second by those without drafts.
double gain(double p, const std::function<double(uint32_t)>& cost, double draft_seconds, uint32_t tokens) {
  DraftLength length(16);
  DraftQuality quality;
  double seconds = 0;
  double dice = 0;
  uint32_t made = 0;
  while (made < tokens) {
    const uint32_t drafted = length.choose(quality, 1, 1);
    EXPECT_LE(drafted, 16U);
    uint32_t accepted = 0;
    while (accepted < drafted) {
      dice += 0.6180339887;
      dice -= dice >= 1 ? 1 : 0;
      if (dice >= p) {
        break;
      }
      ++accepted;
    }
    const double draft = drafted * draft_seconds;
    length.note({1, 1, drafted, accepted, cost(1 + drafted), draft});
    quality.note(drafted, accepted, draft);
    seconds += cost(1 + drafted) + draft;
    made += 1 + accepted;
  }
  return made * cost(1) / seconds;
}

TEST(DraftLength, LongDraftsWhereAPassCostsTheSame) {
  const auto pass = [](uint32_t) { return 1.0; };
  EXPECT_GT(gain(0.8, pass, 0.01, 400), 3.0);
  EXPECT_GT(gain(0.5, pass, 0.01, 400), 1.7);
}

TEST(DraftLength, NoDraftsWhereTheyDoNotPay) {
  const auto each = [](uint32_t n) { return 1.0 * n; };
  EXPECT_GT(gain(0.7, each, 0.05, 400), 0.96);
  EXPECT_GT(gain(0.0, each, 0.05, 400), 0.96);
  const auto pass = [](uint32_t) { return 1.0; };
  EXPECT_GT(gain(0.0, pass, 0.02, 400), 0.97);
}

TEST(DraftLength, NoticesWhenTheTextChanges) {
  DraftLength length(8);
  DraftQuality quality;
  for (int i = 0; i < 200; ++i) {  // never accepted
    const uint32_t drafted = length.choose(quality, 1, 1);
    length.note({1, 1, drafted, 0, 1.0, drafted * 0.1});
    quality.note(drafted, 0, drafted * 0.1);
  }
  uint32_t longest = 0;
  for (int i = 0; i < 500; ++i) {  // from now on always
    const uint32_t drafted = length.choose(quality, 1, 1);
    length.note({1, 1, drafted, drafted, 1.0, drafted * 0.1});
    quality.note(drafted, drafted, drafted * 0.1);
    longest = std::max(longest, drafted);
  }
  EXPECT_EQ(longest, 8U);
}

TEST(DraftLength, ManyAnswersShareWhatAPassCanTake) {
  DraftLength length(16);
  DraftQuality quality;
  const auto cost = [](uint32_t n) { return 1.0 + 0.05 * (n > 16 ? n - 16 : 0); };
  uint32_t drafted = 0;
  for (int i = 0; i < 200; ++i) {
    drafted = length.choose(quality, 8, 8);
    length.note({8, 8, 8 * drafted, 4 * drafted, cost(8 + 8 * drafted), 0});
    quality.note(drafted, drafted / 2, 0);
  }
  EXPECT_GE(drafted, 1U);
  EXPECT_LE(drafted, 4U);
}

}  // namespace
}  // namespace hypura
