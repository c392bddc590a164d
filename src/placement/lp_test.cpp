#include "placement/lp.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

constexpr double kUnbounded = LinearProgram::kUnbounded;

class Lp : public testing::Test {
 protected:
  void SetUp() override {
    if (!lp_solver_present()) {
      GTEST_SKIP() << "built without a solver";
    }
  }
};

// Two goods, 3 and 5 a piece, limited by three machines: a textbook's example; the optimum is 2 and 6, worth 36.
TEST_F(Lp, FindsTheOptimum) {
  LinearProgram program;
  const uint32_t x = program.add(-3, 0, kUnbounded);
  const uint32_t y = program.add(-5, 0, kUnbounded);
  program.rows.push_back({{{x, 1}}, -kUnbounded, 4});
  program.rows.push_back({{{y, 2}}, -kUnbounded, 12});
  program.rows.push_back({{{x, 3}, {y, 2}}, -kUnbounded, 18});
  const auto solution = minimise(program);
  ASSERT_TRUE(solution);
  EXPECT_NEAR(solution->cost, -36, 1e-6);
  EXPECT_NEAR(solution->values[x], 2, 1e-6);
  EXPECT_NEAR(solution->values[y], 6, 1e-6);
}

TEST_F(Lp, TakesTheLargerOfTwoSums) {
  LinearProgram program;
  const uint32_t time = program.add(1, 0, kUnbounded);
  const uint32_t share = program.add(0, 0, 1);
  program.rows.push_back({{{time, 1}, {share, 4}}, 5, kUnbounded});   // time >= 5 - 4 share
  program.rows.push_back({{{time, 1}, {share, -1}}, 1, kUnbounded});  // time >= 1 + share
  const auto solution = minimise(program);
  ASSERT_TRUE(solution);
  EXPECT_NEAR(solution->cost, 1.8, 1e-9);
  EXPECT_NEAR(solution->values[share], 0.8, 1e-9);
}

TEST_F(Lp, SaysWhenThereIsNone) {
  LinearProgram infeasible;
  const uint32_t x = infeasible.add(1, 0, 1);
  infeasible.rows.push_back({{{x, 1}}, 2, kUnbounded});
  EXPECT_FALSE(minimise(infeasible));
  LinearProgram unbounded;
  unbounded.add(-1, 0, kUnbounded);
  EXPECT_FALSE(minimise(unbounded));
}

}  // namespace
}  // namespace hypura
