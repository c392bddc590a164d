#include "placement/placement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "placement/lp.h"
#include "placement/problem_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

Mode mode_at(const PlacementProblem& problem) {
  const auto solution = place(problem);
  EXPECT_TRUE(solution) << solution.error().message;
  return solution ? solution->mode() : Mode::kResident;
}

TEST(Placement, TheModeComesFromTheBudget) {
  EXPECT_EQ(mode_at(moe_problem(8 * kGiB)), Mode::kResident);
  EXPECT_EQ(mode_at(moe_problem(2 * kGiB)), Mode::kExpertStreaming);
  EXPECT_EQ(mode_at(moe_problem(400 * kMiB)), Mode::kMixedStreaming);
  EXPECT_EQ(mode_at(dense_problem(8 * kGiB)), Mode::kResident);
  EXPECT_EQ(mode_at(dense_problem(2 * kGiB)), Mode::kDenseStreaming);
  EXPECT_FALSE(place(moe_problem(200 * kMiB)));
}

TEST(Placement, TheSmallestBudgetIsTheSmallest) {
  for (PlacementProblem problem : {moe_problem(0), dense_problem(0)}) {
    problem.budget = minimum_budget(problem);
    EXPECT_TRUE(place(problem));
    EXPECT_TRUE(place_greedily(problem));
    --problem.budget;
    EXPECT_FALSE(place(problem));
    EXPECT_FALSE(place_greedily(problem));
  }
}

TEST(Placement, RefusesABudgetThatCannotWorkAndSaysWhatCould) {
  PlacementProblem problem = moe_problem(100 * kMiB);
  problem.modes = {Mode::kExpertStreaming};
  const auto solution = place(problem);
  ASSERT_FALSE(solution);
  EXPECT_EQ(solution.error().code, ErrorCode::kBudget);
  const std::string least = format_bytes(minimum_budget(problem, Mode::kExpertStreaming));
  EXPECT_NE(solution.error().message.find(least), std::string::npos) << solution.error().message;
  EXPECT_EQ(least, "462.7 MiB");  // 60 fixed, 30 other, 100 KV, 24.7 a pass of 32 tokens, 240 dense, two slots
}

TEST(Placement, EverythingIsCachedWhenItFits) {
  PlacementProblem moe = moe_problem(9 * kGiB);
  moe.modes = {Mode::kExpertStreaming};
  const auto cached = place(moe);
  ASSERT_TRUE(cached);
  EXPECT_EQ(cached->experts.slots, 24U * 64U);
  EXPECT_EQ(cached->experts.spare_slots, 0U);
  EXPECT_EQ(pass_cost(moe, *cached, 1).bytes, 0);
  PlacementProblem dense = dense_problem(9 * kGiB);
  dense.modes = {Mode::kDenseStreaming};
  const auto pinned = place(dense);
  ASSERT_TRUE(pinned);
  EXPECT_EQ(pinned->dense.ring_bytes, 0U);
  EXPECT_EQ(pinned->dense.pinned_bytes, dense.dense_slot_bytes());
}

TEST(Placement, DenseWeightsComeBeforeExpertsThatFewTokensUse) {
  // Too little for all dense weights: each is read for every token, an expert only now and then.
  const PlacementProblem problem = moe_problem(450 * kMiB);
  const auto solution = place(problem);
  ASSERT_TRUE(solution);
  ASSERT_EQ(solution->mode(), Mode::kMixedStreaming);
  EXPECT_GT(solution->dense.pinned_bytes, 100 * kMiB);
  EXPECT_LE(solution->experts.slots, 8U);
}

TEST(Placement, ACacheThatIsNeverHitGetsNoMemory) {
  // All tokens use the same 8 experts of each layer but for one in a thousand: more slots than that gain nothing that a
  // larger pass would not.
  PlacementProblem problem = moe_problem(1500 * kMiB);
  std::vector<double> hits(65, 0.999);
  hits[0] = 0;
  for (int q = 1; q < 8; ++q) {
    hits[q] = 0.999 * q / 8;
  }
  problem.experts.front().popularity = popularity_from_hits(hits, 8);
  const auto solution = place(problem);
  ASSERT_TRUE(solution);
  EXPECT_EQ(solution->ubatch, 512U);
  EXPECT_GE(solution->experts.group_slots.front(), 24U * 8U);
}

TEST(Placement, ASmallerKvCacheIsTakenOnlyWhereItPays) {
  const KvChoice half{KvType::kQ8_0, 53 * kMiB, 0.02};
  PlacementProblem fits = moe_problem(8 * kGiB);
  fits.kv.push_back(half);
  EXPECT_EQ(place(fits)->kv_type, KvType::kF16);

  PlacementProblem tight = moe_problem(2 * kGiB);
  tight.kv = {{KvType::kF16, 1200 * kMiB, 0}, {KvType::kQ8_0, 640 * kMiB, 0.02}};
  EXPECT_EQ(place(tight)->kv_type, KvType::kQ8_0);

  PlacementProblem hardly = moe_problem(3 * kGiB);
  hardly.kv = {{KvType::kF16, 4 * kMiB, 0}, {KvType::kQ8_0, 2 * kMiB, 0.02}};
  EXPECT_EQ(place(hardly)->kv_type, KvType::kF16);
}

TEST(Placement, ASlowDiskGetsLargerPassesThanAFastOne) {
  PlacementProblem slow = moe_problem(1 * kGiB);
  slow.expert_disk = slow.dense_disk = {2e8, 0.0001};
  PlacementProblem fast = slow;
  fast.expert_disk = fast.dense_disk = {2e10, 0.00001};
  const auto tokens = [](const PlacementProblem& problem) { return place(problem)->ubatch; };
  EXPECT_EQ(tokens(slow), 512U);
  EXPECT_LE(tokens(fast), tokens(slow));
}

TEST(Placement, WhatAGroupKeepsLiesEvenlyOnItsLayers) {
  PlacementProblem problem = moe_problem(2 * kGiB);
  problem.layer_groups.assign(24, 0);
  const auto placement = place(problem);
  ASSERT_TRUE(placement);
  const std::vector<uint32_t>& slots = placement->experts.layer_slots;
  ASSERT_EQ(slots.size(), 24U);
  EXPECT_LE(slots.front() - slots.back(), 1U);
  EXPECT_TRUE(std::is_sorted(slots.rbegin(), slots.rend()));
  EXPECT_EQ(std::accumulate(slots.begin(), slots.end(), 0U), placement->experts.group_slots.front());
}

void check_one(PlacementProblem problem, uint64_t budget, double& bound_before, double& objective_before) {
  problem.budget = budget;
  const auto solution = place(problem);
  ASSERT_TRUE(solution) << solution.error().message;
  const Placement& placement = *solution;
  ASSERT_LE(total_bytes(problem, placement), budget);
  ASSERT_LE(placement.experts.spare_slots, placement.experts.slots);
  ASSERT_LE(placement.experts.slots, problem.expert_slots());
  uint32_t kept = 0;
  for (size_t i = 0; i < placement.experts.group_slots.size(); ++i) {
    ASSERT_LE(placement.experts.group_slots[i], problem.experts[i].layers * problem.experts[i].experts);
    kept += placement.experts.group_slots[i];
  }
  ASSERT_EQ(kept + placement.experts.spare_slots, placement.experts.slots);
  ASSERT_NEAR(solution->objective, objective(problem, placement), 1e-12);
  ASSERT_LE(solution->objective, place_greedily(problem)->objective * (1 + 1e-9));
  if (!solution->bound) {
    return;
  }
  ASSERT_LE(*solution->bound, solution->objective * (1 + 1e-6));
  ASSERT_LE(*solution->bound, bound_before * (1 + 1e-6)) << "the bound rose with the memory";
  ASSERT_LE(solution->objective, objective_before * 1.02) << "slower with more memory";
  bound_before = *solution->bound;
  objective_before = solution->objective;
}

// Whatever the model and the machine: never over the budget, never worse than by rule, never below the bound, and not
// slower with more memory (but for what whole weights and slots cost).
TEST(Placement, HoldsItsPromisesOnRandomProblems) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 60; ++round) {
    const PlacementProblem problem = random_problem(random);
    const uint64_t least = minimum_budget(problem);
    const uint64_t all = base_bytes(problem, Mode::kResident, problem.kv[0], problem.ubatch[0]);
    double bound = 1e300;
    double value = 1e300;
    for (double share : {0.0, 0.02, 0.1, 0.3, 0.5, 0.8, 1.0, 1.3}) {
      const auto budget = least + static_cast<uint64_t>(share * static_cast<double>(all));
      ASSERT_NO_FATAL_FAILURE(check_one(problem, budget, bound, value)) << "problem " << round << " at " << share;
    }
  }
}

// A table of which a token reads a row goes before anything that a token reads more of.
TEST(Placement, TablesAreLookedUpRowByRowWhereMemoryIsShort) {
  for (PlacementProblem problem : {moe_problem(kGiB), dense_problem(kGiB)}) {
    const uint64_t least = minimum_budget(problem);
    problem.tables = {350 * kMiB, 6 * kMiB, 8192, 0, 0, true, true};
    problem.table_disk = {1e9, 0.0001};
    EXPECT_EQ(minimum_budget(problem), least + 6 * kMiB);
    const auto rows = place(problem);
    problem.tables.may_stream = false;
    const auto whole = place(problem);
    ASSERT_TRUE(rows && whole);
    EXPECT_TRUE(rows->tables.streamed);
    EXPECT_FALSE(whole->tables.streamed);
    EXPECT_LT(rows->objective, whole->objective);
    problem.tables.may_stream = true;
    problem.table_disk.latency = 5;
    EXPECT_FALSE(place(problem)->tables.streamed) << "a disk that slow";
    problem.budget = 20 * kGiB;
    EXPECT_EQ(place(problem)->mode(), Mode::kResident);
  }
}

// The bound is worth something: on the measured models the plan is within a few per cent of it.
TEST(Placement, ChoicesByHandAreKept) {
  PlacementProblem problem = dense_problem(2 * kGiB);
  problem.ring_ahead = 16 * kMiB;
  const auto little = place(problem);
  problem.ring_ahead = 48 * kMiB;
  const auto more = place(problem);
  ASSERT_TRUE(little && more);
  EXPECT_EQ(more->dense.ring_bytes - little->dense.ring_bytes, 32 * kMiB);
  EXPECT_LE(total_bytes(problem, *more), problem.budget);

  PlacementProblem experts = moe_problem(2 * kGiB);
  experts.modes = {Mode::kMixedStreaming};
  experts.cached = 100;
  const auto mixed = place(experts);
  ASSERT_TRUE(mixed);
  EXPECT_GE(mixed->experts.slots, 100);
  EXPECT_LE(total_bytes(experts, *mixed), experts.budget);
}

TEST(Placement, TheGapToTheBoundIsSmall) {
  if (!lp_solver_present()) {
    GTEST_SKIP() << "built without a solver";
  }
  for (uint64_t budget : {700 * kMiB, 1500 * kMiB, 2 * kGiB, 3 * kGiB, 5 * kGiB}) {
    for (const PlacementProblem& problem : {moe_problem(budget), dense_problem(budget)}) {
      const auto solution = place(problem);
      ASSERT_TRUE(solution && solution->bound);
      EXPECT_LE(solution->gap(), 0.04) << format_bytes(budget);
    }
  }
}

}  // namespace
}  // namespace hypura
