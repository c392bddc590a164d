#include "placement/popularity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

namespace hypura {
namespace {

double sum_of(const std::vector<double>& popularity, size_t first) {
  return std::accumulate(popularity.begin() + static_cast<std::ptrdiff_t>(first), popularity.end(), 0.0);
}

TEST(Popularity, ThePriorGivesItsHitRates) {
  const std::vector<double> popularity = prior_popularity(64, 8);
  ASSERT_EQ(popularity.size(), 64U);
  EXPECT_NEAR(sum_of(popularity, 0), 8, 1e-9);
  for (uint32_t cached : {1U, 16U, 24U, 32U, 63U}) {
    EXPECT_NEAR(1 - sum_of(popularity, cached) / 8, std::pow(cached / 64.0, kPriorExponent), 1e-9);
  }
}

// The figures that the prior was fitted to: 8, 12 and 16 of 32 experts.
TEST(Popularity, ThePriorIsNearTheStoriesModel) {
  const std::vector<double> popularity = prior_popularity(32, 4);
  EXPECT_NEAR(1 - sum_of(popularity, 8) / 4, 0.424, 0.015);
  EXPECT_NEAR(1 - sum_of(popularity, 12) / 4, 0.554, 0.015);
  EXPECT_NEAR(1 - sum_of(popularity, 16) / 4, 0.669, 0.015);
}

TEST(Popularity, NoExpertIsUsedTwiceByAToken) {
  for (uint32_t experts : {2U, 3U, 8U, 160U}) {
    for (uint32_t used = 1; used <= experts; used += 1 + experts / 7) {
      const std::vector<double> popularity = prior_popularity(experts, used);
      EXPECT_NEAR(sum_of(popularity, 0), used, 1e-9);
      for (size_t rank = 0; rank < experts; ++rank) {
        EXPECT_LE(popularity[rank], 1 + 1e-12);
        EXPECT_GE(popularity[rank], rank + 1 == experts ? 0 : popularity[rank + 1] - 1e-12);
      }
    }
  }
}

TEST(Popularity, AMeasuredCurveIsMadeConcaveAndEndsAtOne) {
  const std::vector<double> hits = {0, 0.3, 0.2, 0.5, 0.9};  // of 4 experts, noisy, with first uses missed
  const std::vector<double> popularity = popularity_from_hits(hits, 1);
  ASSERT_EQ(popularity.size(), 4U);
  EXPECT_NEAR(sum_of(popularity, 0), 1, 1e-12);
  EXPECT_NEAR(popularity[0], 0.3 / 0.9, 1e-12);
  EXPECT_NEAR(popularity[1], 0.2 / 0.9, 1e-12);  // a straight line from 0.3 to 0.9
  EXPECT_NEAR(popularity[3], 0.2 / 0.9, 1e-12);
}

TEST(Popularity, ACurveWithoutHitsMeansAllAreAlike) {
  const std::vector<double> popularity = popularity_from_hits(std::vector<double>(9, 0.0), 2);
  for (double it : popularity) {
    EXPECT_NEAR(it, 0.25, 1e-12);
  }
}

TEST(Popularity, APassTouchesWhatItsTokensChoose) {
  const std::vector<double> even(64, 8 / 64.0);
  EXPECT_NEAR(expected_experts(even, 0, 1), 8, 1e-9);
  EXPECT_NEAR(expected_experts(even, 0, 16), 64 * (1 - std::pow(1 - 8 / 64.0, 16)), 1e-9);
  EXPECT_NEAR(expected_experts(even, 16, 1), 6, 1e-9);
  EXPECT_NEAR(expected_experts(even, 64, 512), 0, 1e-9);
}

// Tokens that choose by the popularity touch as many as is expected.
TEST(Popularity, AgreesWithChance) {
  const std::vector<double> popularity = prior_popularity(32, 4);
  std::mt19937 random(5);
  std::uniform_real_distribution<double> uniform(0, 1);
  constexpr int kRounds = 2000;
  double touched = 0;
  for (int round = 0; round < kRounds; ++round) {
    for (size_t rank = 10; rank < 32; ++rank) {
      bool used = false;
      for (int token = 0; token < 5; ++token) {
        used = uniform(random) < popularity[rank] || used;
      }
      touched += used ? 1 : 0;
    }
  }
  EXPECT_NEAR(touched / kRounds, expected_experts(popularity, 10, 5), 0.2);
}

}  // namespace
}  // namespace hypura
