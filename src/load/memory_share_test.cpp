#include "load/memory_share.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "placement/cost.h"
#include "placement/placement.h"
#include "placement/problem_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

constexpr uint64_t kKept = 20 * kMiB;

// Opened with `problem`, and keys and values beyond the context besides.
void expect_divisions(const PlacementProblem& problem, const Placement& opened, const std::string& where) {
  const uint64_t budget = problem.budget + kKept;
  const MemoryRange range = memory_range(problem, opened, budget, kKept, "");
  ASSERT_LE(range.least, range.most) << where;
  const MemoryDivision all = divide_memory(problem, opened, range, kKept, range.most);
  EXPECT_EQ(all.kept, kKept);
  EXPECT_EQ(all.experts.slots, opened.experts.slots) << where;
  EXPECT_EQ(all.dense.pinned, opened.dense.pinned) << where;
  for (int step = 0; step <= 10; ++step) {
    const uint64_t bytes = range.least + (range.most - range.least) / 10 * static_cast<uint64_t>(step);
    const MemoryDivision division = divide_memory(problem, opened, range, kKept, bytes);
    Placement placement = opened;
    placement.experts = division.experts;
    placement.dense = division.dense;
    EXPECT_LE(total_bytes(problem, placement) + division.kept, bytes) << where << ", step " << step;
    const ExpertPlacement& experts = division.experts;
    EXPECT_LE(experts.slots, opened.experts.slots) << where;
    EXPECT_LE(std::accumulate(experts.layer_slots.begin(), experts.layer_slots.end(), 0U),
              experts.slots - experts.spare_slots)
        << where;
    for (size_t i = 0; i < division.dense.pinned.size(); ++i) {
      EXPECT_TRUE(opened.dense.pinned[i] || !division.dense.pinned[i]) << where;
    }
    EXPECT_GE(division.decode_seconds, all.decode_seconds * 0.99) << where << ": less is not faster";
  }
  EXPECT_EQ(divide_memory(problem, opened, range, kKept, range.least).kept, 0U);
}

TEST(MemoryShare, KeepsWithinEverySizeAndWhatItWasOpenedWith) {
  std::mt19937_64 random(19);
  int tried = 0;
  for (int i = 0; i < 150; ++i) {
    PlacementProblem problem = random_problem(random);
    std::erase(problem.modes, Mode::kResident);
    problem.kv.resize(1);
    if (problem.modes.empty()) {
      continue;
    }
    const uint64_t least = minimum_budget(problem);
    problem.budget = least + least / 8 * (random() % 16);
    const auto opened = place(problem);
    if (!opened) {
      continue;
    }
    ++tried;
    expect_divisions(problem, *opened, "problem " + std::to_string(i));
  }
  EXPECT_GT(tried, 50);
}

TEST(MemoryShare, AResidentModelGivesBackWhatIsKeptBesides) {
  const PlacementProblem problem = moe_problem(20 * kGiB);
  const auto opened = place(problem);
  ASSERT_TRUE(opened);
  ASSERT_EQ(opened->mode(), Mode::kResident);
  const MemoryRange range = memory_range(problem, *opened, problem.budget + kKept, kKept, "");
  EXPECT_EQ(range.least, problem.budget);
  EXPECT_NE(range.fixed, "");
  EXPECT_EQ(divide_memory(problem, *opened, range, kKept, range.least).kept, 0U);
}

TEST(MemoryShare, WhatCannotGiveBackSaysWhy) {
  PlacementProblem problem = moe_problem(3 * kGiB);
  problem.modes = {Mode::kExpertStreaming};
  const auto opened = place(problem);
  ASSERT_TRUE(opened);
  const MemoryRange range = memory_range(problem, *opened, problem.budget, 0, "it is the driver's");
  EXPECT_EQ(range.least, range.most);
  EXPECT_EQ(range.fixed, "it is the driver's");
  EXPECT_EQ(divide_memory(problem, *opened, range, 0, 0).experts.slots, opened->experts.slots);
}

}  // namespace
}  // namespace hypura
