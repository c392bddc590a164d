#include "placement/placement.h"

#include <gtest/gtest.h>

#include <random>

#include "support/units.h"

namespace hypura {
namespace {

// 6 GB, 24 layers of 64 experts, top-8.
PlacementInput moe(uint64_t budget) {
  PlacementInput input;
  input.budget = budget;
  input.fixed = 60 * kMiB;
  input.runtime = 200 * kMiB;
  input.dense = 250 * kMiB;
  input.largest_room = 20 * kMiB;
  input.slot_stride = 4 * kMiB;
  input.expert_slots = 24 * 64;
  input.experts = input.expert_slots * input.slot_stride;
  input.experts_used = 8;
  return input;
}

PlacementInput dense(uint64_t budget) {
  PlacementInput input;
  input.budget = budget;
  input.fixed = 100 * kMiB;
  input.runtime = 300 * kMiB;
  input.dense = 6 * kGiB;
  input.largest_room = 33 * kMiB;
  return input;
}

uint64_t total(const PlacementInput& input, const Placement& placement) {
  const bool streams_dense = placement.mode == Mode::kDenseStreaming || placement.mode == Mode::kMixedStreaming;
  return input.fixed + input.runtime + (streams_dense ? placement.pinned_bytes + placement.ring_bytes : input.dense) +
         placement.slots * input.slot_stride;
}

TEST(Placement, TakesTheBestModeThatFits) {
  EXPECT_EQ(feasible_modes(moe(8 * kGiB)).front(), Mode::kResident);
  EXPECT_EQ(feasible_modes(moe(2 * kGiB)).front(), Mode::kExpertStreaming);
  EXPECT_EQ(feasible_modes(moe(400 * kMiB)).front(), Mode::kMixedStreaming);
  EXPECT_TRUE(feasible_modes(moe(200 * kMiB)).empty());
  EXPECT_EQ(feasible_modes(dense(2 * kGiB)).front(), Mode::kDenseStreaming);
}

TEST(Placement, TheSmallestBudgetIsTheSmallest) {
  for (const PlacementInput& input : {moe(0), dense(0)}) {
    PlacementInput at = input;
    at.budget = minimum_budget(input);
    ASSERT_FALSE(feasible_modes(at).empty());
    EXPECT_TRUE(place(at, feasible_modes(at).back()));
    --at.budget;
    EXPECT_TRUE(feasible_modes(at).empty());
  }
}

TEST(Placement, RefusesABudgetThatCannotWorkAndSaysWhatCould) {
  const auto placement = place(moe(100 * kMiB), Mode::kExpertStreaming);
  ASSERT_FALSE(placement);
  EXPECT_EQ(placement.error().code, ErrorCode::kBudget);
  EXPECT_NE(placement.error().message.find("518.0 MiB"), std::string::npos) << placement.error().message;
}

TEST(Placement, EverythingCachedWhenItFits) {
  const auto placement = place(moe(9 * kGiB), Mode::kExpertStreaming);
  ASSERT_TRUE(placement);
  EXPECT_EQ(placement->slots, 24U * 64U);
  const auto pinned = place(dense(9 * kGiB), Mode::kDenseStreaming);
  ASSERT_TRUE(pinned);
  EXPECT_EQ(pinned->ring_bytes, 0U);
  EXPECT_EQ(pinned->pinned_bytes, 6 * kGiB);
}

TEST(Placement, NeverOverBudgetAndMonotoneInMemory) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 500; ++round) {
    PlacementInput input = round % 2 == 0 ? moe(0) : dense(0);
    input.fixed = random() % kGiB;
    input.runtime = random() % kGiB;
    input.largest_room = 1 + random() % (64 * kMiB);
    for (Mode mode : {Mode::kExpertStreaming, Mode::kDenseStreaming, Mode::kMixedStreaming}) {
      if ((input.experts == 0) != (mode == Mode::kDenseStreaming)) {
        continue;
      }
      Placement before;
      for (uint64_t budget = minimum_budget(input, mode); budget < 10 * kGiB; budget += 1 + random() % kGiB) {
        input.budget = budget;
        const auto placement = place(input, mode);
        ASSERT_TRUE(placement) << placement.error().message;
        ASSERT_LE(total(input, *placement), budget);
        ASSERT_GE(placement->slots, before.slots);
        ASSERT_GE(placement->pinned_bytes, before.pinned_bytes);
        ASSERT_LE(placement->spare_slots, placement->slots);
        before = *placement;
      }
    }
  }
}

}  // namespace
}  // namespace hypura
