#include "placement/gpu_placement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "placement/gpu_problem_for_test.h"

namespace hypura {
namespace {

uint64_t slots_of(const Placement& placement) {
  return std::accumulate(placement.gpu->layer_slots.begin(), placement.gpu->layer_slots.end(), uint64_t{0});
}

TEST(GpuPlacement, EverythingLiesThereWhereItFits) {
  const PlacementProblem problem = gpu_problem(16 * kGiB, 4 * kGiB);
  const auto placement = place(problem);
  ASSERT_TRUE(placement) << placement.error().message;
  ASSERT_TRUE(placement->gpu);
  EXPECT_EQ(placement->mode(), Mode::kResident);
  EXPECT_FALSE(placement->experts.streamed);
  expect_within_budgets(problem, *placement);
  const PassCost token = pass_cost(problem, *placement, 1);
  EXPECT_EQ(token.seconds, problem.gpu->devices[0].speeds.front().resident.of(1));
  EXPECT_EQ(token.uploaded, 0);
  EXPECT_LT(total_bytes(problem, *placement), 100 * kMiB) << "what lies on the device takes no RAM";
}

// Of `slots`, those that a token used last are full of what it used, and the others hold the most popular.
double simulated_misses(const std::vector<double>& popularity, uint32_t slots) {
  constexpr int kTokens = 20000;
  std::mt19937 random(7);
  std::vector<bool> held(popularity.size());
  double misses = 0;
  for (int token = 0; token < kTokens; ++token) {
    std::vector<bool> used(popularity.size());
    for (size_t i = 0; i < used.size(); ++i) {
      used[i] = std::uniform_real_distribution<>()(random) < popularity[i];
      misses += used[i] && !held[i] ? 1 : 0;
    }
    auto free = static_cast<int>(slots) - static_cast<int>(std::ranges::count(used, true));
    std::vector<bool> holds = used;
    for (size_t i = 0; i < used.size() && free > 0; ++i) {
      free -= used[i] ? 0 : 1;
      holds[i] = true;
    }
    held = std::move(holds);
  }
  return misses / kTokens;
}

TEST(GpuPlacement, WhatATokenUsesDrivesOutOthers) {
  std::vector<double> popularity(64);
  for (size_t rank = 0; rank < popularity.size(); ++rank) {
    popularity[rank] = 0.85 * std::pow(static_cast<double>(rank + 1), -0.6);
  }
  const std::vector<double> misses = expected_misses(popularity, 1);
  for (const uint32_t slots : {13U, 17U, 25U, 45U}) {
    const double expected = misses_of_passing(misses, slots);
    EXPECT_NEAR(expected, simulated_misses(popularity, slots), 0.03 * misses[0]) << slots << " slots";
    EXPECT_GE(expected, misses[slots]) << "no better than if only the most used were kept";
  }
  EXPECT_EQ(misses_of_passing(misses, 64), 0);
  EXPECT_EQ(misses_of_passing(misses, 0), misses[0]);
}

TEST(GpuPlacement, ElseSlotsTakeWhatIsLeftOfTheDevice) {
  const PlacementProblem problem = gpu_problem(4 * kGiB, 8 * kGiB);
  const auto placement = place(problem);
  ASSERT_TRUE(placement) << placement.error().message;
  ASSERT_TRUE(placement->gpu);
  EXPECT_EQ(placement->mode(), Mode::kExpertStreaming);
  expect_within_budgets(problem, *placement);
  EXPECT_LT(problem.gpu->budget() - gpu_device_bytes(problem, *placement), problem.gpu->groups[0].slot_bytes)
      << "room for another slot is left";
  const PassCost token = pass_cost(problem, *placement, 1);
  EXPECT_GT(token.uploaded, 0);
  EXPECT_EQ(token.bytes, 0) << "RAM holds the others";
  EXPECT_GT(placement->ubatch, 512U) << "large passes hide the copies of whole layers";
}

// Its slots are RAM's: one budget for both, nothing below, nothing copied.
TEST(GpuPlacement, BorrowedSlotsMissLessAndTakeNoMemory) {
  PlacementProblem problem = gpu_problem(2 * kGiB, 4 * kGiB);
  const auto alone = place(problem);
  ASSERT_TRUE(alone && alone->gpu);
  problem.gpu->groups[0].borrows = true;
  const auto borrowing = place(problem);
  ASSERT_TRUE(borrowing && borrowing->gpu);
  expect_within_budgets(problem, *borrowing);
  EXPECT_TRUE(borrowing->gpu->borrows);
  EXPECT_FALSE(alone->gpu->borrows);
  const std::vector<uint32_t> slots =
      gpu_borrowed_slots(problem, problem.gpu->devices[0], borrowing->gpu->layer_slots, true);
  const uint32_t experts = problem.experts[0].experts;
  EXPECT_EQ(std::accumulate(slots.begin(), slots.end(), 0U), 2 * (experts - problem.experts[0].used));
  const PassCost before = pass_cost(problem, *alone, 1);
  const PassCost token = pass_cost(problem, *borrowing, 1);
  EXPECT_LT(token.device_misses, before.device_misses);
  EXPECT_LT(token.seconds, before.seconds);
  EXPECT_EQ(pass_cost(problem, *borrowing, 4096).uploaded, pass_cost(problem, *alone, 4096).uploaded)
      << "in a prompt all layers pass through";
}

TEST(GpuPlacement, ADeviceThatComputesInRamTakesItsPartOfOneBudget) {
  for (const uint64_t budget : {2 * kGiB, 4 * kGiB, 16 * kGiB}) {
    for (const uint64_t most : {3 * kGiB, 16 * kGiB}) {
      PlacementProblem problem = gpu_problem(most, budget);
      problem.gpu->in_ram = true;
      const auto placement = place_on_gpu(problem);
      ASSERT_TRUE(placement) << placement.error().message;
      const uint64_t both = gpu_device_bytes(problem, *placement) + total_bytes(problem, *placement);
      EXPECT_LE(both, budget);
      EXPECT_LE(gpu_device_bytes(problem, *placement), most);
      EXPECT_EQ(placement->experts.slots, 0U);
      EXPECT_EQ(placement->experts.streamed, std::min(budget, most) < 8 * kGiB);
      const PassCost token = pass_cost(problem, *placement, 1);
      EXPECT_EQ(token.uploaded, 0);
      EXPECT_EQ(token.bytes > 0, placement->experts.streamed);
      if (placement->experts.streamed) {
        EXPECT_GT(both + problem.gpu->groups[0].slot_bytes, std::min(budget, most)) << "room for a slot is left";
      }
    }
  }
  PlacementProblem problem = gpu_problem(16 * kGiB, 256 * kMiB);
  problem.gpu->in_ram = true;
  EXPECT_FALSE(place_on_gpu(problem));
  EXPECT_GT(minimum_gpu_ram(problem), 256 * kMiB);
  problem.budget = minimum_gpu_ram(problem);
  EXPECT_TRUE(place_on_gpu(problem)) << "which is enough";
}

// Where a layer waits too long for its router's choice.
TEST(GpuPlacement, TheProcessorsComputeWhereCutsTakeTooLong) {
  for (const double cut : {50e-6, 50e-3}) {
    PlacementProblem problem = gpu_problem(3 * kGiB, 4 * kGiB);
    problem.gpu->in_ram = true;
    for (GpuSpeeds& speeds : problem.gpu->devices[0].speeds) {
      speeds.sync_seconds = cut;
    }
    const auto placement = place(problem);
    ASSERT_TRUE(placement) << placement.error().message;
    EXPECT_EQ(placement->gpu.has_value(), cut < 1e-3);
    EXPECT_EQ(placement->experts.slots > 500, !placement->gpu) << "who computes has all of the budget";
  }
}

TEST(GpuPlacement, MixedComputingPaysWhereTheLinkIsSlow) {
  std::vector<double> gains;
  for (const double upload : {50e9, 12e9, 3e9}) {
    PlacementProblem problem = gpu_problem(4 * kGiB, 8 * kGiB);
    for (GpuSpeeds& speeds : problem.gpu->devices.front().speeds) {
      speeds.upload_bytes_per_second = upload;
    }
    const auto copied = place_on_gpu(problem);
    problem.gpu->mixed = true;
    const auto mixed = place_on_gpu(problem);
    ASSERT_TRUE(copied && mixed);
    EXPECT_TRUE(mixed->gpu->mixed);
    EXPECT_FALSE(copied->gpu->mixed);
    expect_within_budgets(problem, *mixed);
    const PassCost token = pass_cost(problem, *mixed, 1);
    EXPECT_EQ(token.uploaded, 0);
    EXPECT_GT(token.processors, 0);
    EXPECT_GE(token.seconds, token.processors);
    gains.push_back(pass_cost(problem, *copied, 1).seconds / token.seconds);
    EXPECT_GT(pass_cost(problem, *mixed, mixed->ubatch).uploaded, 0) << "prompts bring whole layers";
  }
  EXPECT_LT(gains.front(), 1) << "a fast link";
  EXPECT_GT(gains.back(), 2) << "a slow one";
  EXPECT_TRUE(std::ranges::is_sorted(gains));
}

TEST(GpuPlacement, SomeExpertsComeAtATimeOnlyWhereTwoLayersDoNotFit) {
  bool whole = false;
  bool some = false;
  for (uint64_t vram = 512 * kMiB; vram <= 2 * kGiB; vram += 64 * kMiB) {
    PlacementProblem problem = gpu_problem(vram, 8 * kGiB);
    const auto placement = place_on_gpu(problem);
    problem.gpu->stages = true;
    const bool fit = place_on_gpu(problem).has_value();
    if (placement) {
      EXPECT_EQ(placement->gpu->stages, fit) << format_bytes(vram);
      (fit ? whole : some) = true;
    }
  }
  EXPECT_TRUE(whole);
  EXPECT_TRUE(some);
}

TEST(GpuPlacement, MoreOfEitherMemoryIsNeverSlower) {
  double before = std::numeric_limits<double>::infinity();
  for (uint64_t vram = 2 * kGiB; vram <= 8 * kGiB; vram += 256 * kMiB) {
    const PlacementProblem problem = gpu_problem(vram, 2 * kGiB);
    const auto placement = place_on_gpu(problem);
    ASSERT_TRUE(placement) << placement.error().message;
    expect_within_budgets(problem, *placement);
    EXPECT_LE(placement->objective, before * 1.001) << format_bytes(vram);
    before = placement->objective;
  }
  before = std::numeric_limits<double>::infinity();
  for (uint64_t ram = 256 * kMiB; ram <= 8 * kGiB; ram += 256 * kMiB) {
    const PlacementProblem problem = gpu_problem(2 * kGiB, ram);
    const auto placement = place_on_gpu(problem);
    ASSERT_TRUE(placement) << placement.error().message;
    expect_within_budgets(problem, *placement);
    EXPECT_LE(placement->objective, before * 1.001) << format_bytes(ram);
    before = placement->objective;
  }
}

// Of divisions into whole layers and an even spread over the rest none is better.
TEST(GpuPlacement, SlotsLieWhereTheySaveMost) {
  for (const uint64_t vram : {2 * kGiB, 3 * kGiB, 5 * kGiB, 6 * kGiB}) {
    for (const double sync : {0.0, 30e-6, 150e-6, 2e-3}) {
      PlacementProblem problem = gpu_problem(vram, 8 * kGiB);
      for (GpuSpeeds& speeds : problem.gpu->devices[0].speeds) {
        speeds.sync_seconds = sync;
      }
      problem.gpu->may_hold_all = false;
      const auto placement = place_on_gpu(problem);
      ASSERT_TRUE(placement) << placement.error().message;
      const uint64_t all = slots_of(*placement);
      for (uint32_t whole = 0; whole <= 24; ++whole) {
        const uint64_t rest = all - std::min<uint64_t>(all, whole * 64);
        if (whole * 64 > all || rest < (24 - whole) * 8 || rest > (24 - whole) * 64) {
          continue;
        }
        Placement other = *placement;
        for (uint32_t i = 0; i < 24; ++i) {
          const uint32_t cut = 24 - whole;
          other.gpu->layer_slots[i] =
              i < whole ? 64 : static_cast<uint32_t>(rest / cut + (i - whole < rest % cut ? 1 : 0));
        }
        other.experts.layer_slots.assign(24, 64);  // RAM has the others
        Placement ours = *placement;
        ours.experts.layer_slots.assign(24, 64);
        EXPECT_LE(objective(problem, ours), objective(problem, other) * 1.005)
            << format_bytes(vram) << ", a cut of " << sync << " s, " << whole << " whole layers";
      }
    }
  }
}

TEST(GpuPlacement, RamKeepsFirstWhatTheDeviceDoesNot) {
  const PlacementProblem problem = gpu_problem(3 * kGiB, 2 * kGiB);
  const auto placement = place_on_gpu(problem);
  ASSERT_TRUE(placement) << placement.error().message;
  for (size_t i = 0; i < 24; ++i) {
    EXPECT_LE(placement->experts.layer_slots[i] + placement->gpu->layer_slots[i], 64U) << i;
  }
  const PassCost token = pass_cost(problem, *placement, 1);
  EXPECT_GT(token.device_misses, token.misses);
  EXPECT_GT(token.misses, 0);
  EXPECT_GT(token.bytes, 0);
}

TEST(GpuPlacement, WithoutRoomForTwoLayersSomeExpertsAtATimeAreComputed) {
  PlacementProblem problem = gpu_problem(0, 8 * kGiB);
  problem.gpu->devices[0].budget = minimum_vram(problem);
  const auto placement = place_on_gpu(problem);
  ASSERT_TRUE(placement) << placement.error().message;
  EXPECT_FALSE(placement->gpu->stages);
  EXPECT_EQ(placement->gpu->staging_bytes, 0U);
  expect_within_budgets(problem, *placement);
}

TEST(GpuPlacement, SaysWhichMemoryIsTooSmall) {
  PlacementProblem problem = gpu_problem(kGiB, 8 * kGiB);
  problem.gpu->required = true;
  problem.gpu->or_processors = false;
  const uint64_t least = minimum_vram(problem);
  problem.gpu->devices[0].budget = least - 1;
  auto refused = place(problem);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBudget);
  EXPECT_NE(refused.error().message.find("GPU's memory"), std::string::npos) << refused.error().message;
  EXPECT_NE(refused.error().message.find(format_bytes(least)), std::string::npos) << refused.error().message;
  problem.gpu->devices[0].budget = least;
  const uint64_t ram = minimum_gpu_ram(problem);
  problem.budget = ram;
  EXPECT_TRUE(place(problem));
  problem.budget = ram - 1;
  refused = place(problem);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("RAM"), std::string::npos) << refused.error().message;
}

TEST(GpuPlacement, TheProcessorsComputeWhereTheyAreFasterOrTheDeviceCannot) {
  PlacementProblem slow = gpu_problem(16 * kGiB, 8 * kGiB);
  for (GpuSpeeds& speeds : slow.gpu->devices[0].speeds) {
    speeds.resident = {1, 1};
  }
  slow.gpu->may_stream = false;
  const auto by_speed = place(slow);
  ASSERT_TRUE(by_speed);
  EXPECT_FALSE(by_speed->gpu);
  slow.gpu->required = true;
  const auto anyway = place(slow);
  ASSERT_TRUE(anyway);
  EXPECT_TRUE(anyway->gpu);

  PlacementProblem dense = dense_problem(8 * kGiB);
  dense.gpu = gpu_problem(kGiB, 0).gpu;
  dense.gpu->may_stream = false;
  dense.gpu->required = true;
  dense.gpu->devices[0].weights = 6 * kGiB;
  dense.gpu->devices[0].end_streamed = 0;
  const auto split = place(dense);
  ASSERT_TRUE(split) << split.error().message;
  EXPECT_FALSE(split->gpu);
  dense.gpu->or_processors = false;
  EXPECT_FALSE(place(dense));
}

TEST(GpuPlacement, ADeviceThatCannotComputeTheModelSaysWhy) {
  PlacementProblem problem = gpu_problem(16 * kGiB, 8 * kGiB);
  problem.gpu->obstacle = "no kernels";
  EXPECT_FALSE(place(problem)->gpu);
  problem.gpu->required = true;
  problem.gpu->or_processors = false;
  const auto refused = place(problem);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUsage);
  EXPECT_EQ(refused.error().message, "no kernels");
}

TEST(GpuPlacement, SlotsSetByHandStay) {
  PlacementProblem problem = gpu_problem(8 * kGiB, 8 * kGiB);
  problem.gpu->may_hold_all = false;
  problem.gpu->layer_slots = 3;
  problem.gpu->stages = true;
  const auto placement = place_on_gpu(problem);
  ASSERT_TRUE(placement) << placement.error().message;
  EXPECT_EQ(placement->gpu->layer_slots, std::vector<uint32_t>(24, 3));
  EXPECT_TRUE(placement->gpu->stages);
}

TEST(GpuPlacement, NeverExceedsItsBudgets) {
  std::mt19937_64 random(7);
  int placed = 0;
  for (int round = 0; round < 200; ++round) {
    PlacementProblem problem = random_problem(random);
    const GpuProblem like = *gpu_problem(0, 0).gpu;
    problem.gpu = like;
    problem.layer_groups.clear();
    problem.gpu->groups.clear();
    for (GpuSpeeds& speeds : problem.gpu->devices[0].speeds) {
      speeds.experts.clear();
    }
    for (size_t group = 0; group < problem.experts.size(); ++group) {
      problem.layer_groups.insert(problem.layer_groups.end(), problem.experts[group].layers, group);
      problem.gpu->groups.push_back({problem.experts[group].bytes + random() % 512, 4096});
      for (GpuSpeeds& speeds : problem.gpu->devices[0].speeds) {
        speeds.experts.push_back(problem.experts[group].seconds);
      }
    }
    problem.gpu->layers.assign(problem.layer_groups.size(), {10 * kMiB, 1.0, true});
    problem.gpu->layers.push_back({60 * kMiB});
    put_layers(*problem.gpu, std::vector<uint32_t>{static_cast<uint32_t>(problem.gpu->layers.size())});
    problem.gpu->may_stream = !problem.experts.empty();
    problem.gpu->devices[0].budget = static_cast<uint64_t>(static_cast<double>(minimum_vram(problem)) *
                                                           std::uniform_real_distribution<double>(0.9, 4)(random));
    problem.budget = static_cast<uint64_t>(static_cast<double>(minimum_gpu_ram(problem)) *
                                           std::uniform_real_distribution<double>(0.9, 4)(random));
    if (const auto placement = place_on_gpu(problem)) {
      expect_within_budgets(problem, *placement);
      EXPECT_GT(placement->objective, 0);
      ++placed;
    }
  }
  EXPECT_GT(placed, 100);
}

}  // namespace
}  // namespace hypura
