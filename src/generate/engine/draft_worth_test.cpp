#include "plan/draft_worth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placement/problem_for_test.h"

namespace hypura {
namespace {

constexpr uint64_t kSmallModel = 300 * kMiB;
constexpr double kDraftSeconds = 0.004;

// With a draft model of so many bytes in RAM.
std::optional<DraftWorth> worth_of(const PlacementProblem& problem, uint64_t bytes, double seconds = kDraftSeconds) {
  PlacementProblem left = problem;
  left.budget -= bytes;
  return draft_worth(problem, left, seconds);
}

TEST(DraftWorth, APassOverDenseWeightsPaysForADraftModel) {
  const auto worth = worth_of(dense_problem(2 * kGiB), kSmallModel);
  ASSERT_TRUE(worth);
  EXPECT_TRUE(worth->pays());
  EXPECT_GT(worth->with, 2 * worth->without);
}

TEST(DraftWorth, ExpertsThatItDisplacesMayBeWorthMore) {
  PlacementProblem problem = moe_problem(kGiB);
  problem.reads_ahead = false;
  problem.expert_disk.bytes_per_second = 1e8;
  const auto small = worth_of(problem, 10 * kMiB, 0.0001);
  const auto large = worth_of(problem, 600 * kMiB, 0.0001);
  ASSERT_TRUE(small && large);
  EXPECT_TRUE(small->pays());
  EXPECT_FALSE(large->pays());
  EXPECT_EQ(small->without, large->without);
  EXPECT_GT(small->with, large->with);
}

TEST(DraftWorth, WhereAllFitsNothingIsLeftOut) {
  for (const PlacementProblem& problem : {moe_problem(16 * kGiB), dense_problem(16 * kGiB)}) {
    const auto worth = worth_of(problem, kSmallModel);
    ASSERT_TRUE(worth);
    EXPECT_TRUE(worth->pays());
  }
}

TEST(DraftWorth, IsNotKnownOfWhatDoesNotFit) {
  EXPECT_FALSE(worth_of(moe_problem(300 * kMiB), kSmallModel));
  EXPECT_FALSE(worth_of(moe_problem(kSmallModel + 200 * kMiB), kSmallModel));
}

TEST(DraftWorth, MakingDraftsTakesTimeToo) {
  const auto quick = worth_of(dense_problem(2 * kGiB), kSmallModel);
  const auto slow = worth_of(dense_problem(2 * kGiB), kSmallModel, 0.2);
  ASSERT_TRUE(quick && slow);
  EXPECT_EQ(quick->without, slow->without);
  EXPECT_GT(quick->with, 1.5 * slow->with);
}

TEST(DraftWorth, IsToldInPercent) {
  const std::string sentence = left_out_sentence("small.gguf", {10 * kMiB, kMiB}, {358.4, 201.6});
  EXPECT_THAT(sentence, testing::AllOf(testing::HasSubstr("small.gguf"), testing::HasSubstr("11.0 MiB"),
                                       testing::HasSubstr("44 %")));
}

}  // namespace
}  // namespace hypura
