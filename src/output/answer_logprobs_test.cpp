#include "output/answer_logprobs.h"

#include <gtest/gtest.h>

#include <cmath>

namespace hypura {
namespace {

TEST(Logprobs, AreOfADistribution) {
  const std::vector<float> logits = {1, -2, 300, 299.5F, -1e30F};
  double sum = 0;
  for (int32_t token = 0; token < 5; ++token) {
    sum += std::exp(log_probabilities(logits, token, 0).chosen);
  }
  EXPECT_NEAR(sum, 1, 1e-6);
}

TEST(Logprobs, TheLikeliestComeFirst) {
  const std::vector<float> logits = {0, 2, 1, -1};
  const Logprobs all = log_probabilities(logits, 3, 20);
  ASSERT_EQ(all.top.size(), 4U);
  EXPECT_EQ(all.top[0].first, 1);
  EXPECT_EQ(all.top[1].first, 2);
  EXPECT_EQ(all.top[3].first, 3);
  EXPECT_EQ(all.top[3].second, all.chosen);
  EXPECT_NEAR(all.top[0].second - all.top[1].second, 1, 1e-6);
  EXPECT_EQ(log_probabilities(logits, 3, 2).top.size(), 2U);
}

}  // namespace
}  // namespace hypura
