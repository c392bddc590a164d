#include "placement/gpu_split.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "support/units.h"

namespace hypura {
namespace {

constexpr double kHandover = 0.00005;

// So many times as slow as the first.
SplitDevice device_of(uint64_t budget, double slower) {
  SplitDevice device;
  device.budget = budget;
  device.fixed = 1 * kGiB;
  device.seconds.assign(80, {0.001 * slower, 0.00001 * slower});
  device.seconds.push_back({0.001 * slower, 0});
  device.handover = kHandover;
  return device;
}

// 80 layers of 500 MiB and the output, 40 GiB: a GPU of 24 GiB that is ten times as fast as the processors, 64 GiB of
// RAM, a disk of 2.5 GB/s.
SplitProblem large_dense() {
  SplitProblem problem;
  problem.layers.assign(80, {500 * kMiB, 16 * kMiB, {0.010, 0.001}});
  problem.layers.push_back({500 * kMiB, 0, {0.010, 0}});
  problem.devices = {device_of(24 * kGiB, 1)};
  problem.ram_budget = 64 * kGiB;
  problem.ram_fixed = 1 * kGiB;
  problem.ring = 256 * kMiB;
  problem.disk = {2.5e9, 0.0001};
  problem.prompt_pass = 512;
  return problem;
}

double share(uint64_t bytes) {
  return static_cast<double>(bytes);
}

TEST(GpuSplit, TheGpuGetsWhatItHasRoomFor) {
  const SplitProblem problem = large_dense();
  const auto best = best_split(problem);
  ASSERT_TRUE(best);
  EXPECT_LE(best->gpu_bytes, problem.devices[0].budget);
  EXPECT_FALSE(split_at(problem, best->layers + 1)) << "one more would fit";
  EXPECT_EQ(best->layers, 45U);  // 23 GiB: the output, and 44 layers of 516 MiB
  EXPECT_EQ(best->streamed_bytes, 0U);
  EXPECT_NEAR(best->token_seconds, 45 * 0.001 + 36 * 0.010 + kHandover, 1e-9);
}

// Where the GPU computes in RAM, what it takes is not there for the processors' layers.
TEST(GpuSplit, OneMemoryIsNotGivenTwice) {
  SplitProblem problem = large_dense();
  problem.in_ram = true;
  problem.ram_budget = 32 * kGiB;
  const auto best = best_split(problem);
  ASSERT_TRUE(best);
  EXPECT_LE(best->gpu_bytes, problem.devices[0].budget);
  EXPECT_LE(best->ram_bytes, problem.ram_budget);
  EXPECT_GE(best->ram_bytes, best->gpu_bytes + problem.ram_fixed);
  EXPECT_GE(best->streamed_bytes, 81 * 500 * kMiB - problem.ram_budget) << "which does not hold the model";
  problem.ram_budget = problem.devices[0].fixed + problem.ram_fixed;
  EXPECT_FALSE(best_split(problem, 1));
}

TEST(GpuSplit, TheOutputIsTheFirstOnTheGpu) {
  SplitProblem problem = large_dense();
  problem.layers.back().weights = 7 * kMiB;
  const auto none = split_at(problem, 0);
  const auto output = split_at(problem, 1);
  ASSERT_TRUE(none && output);
  EXPECT_EQ(none->gpu_bytes, 0U);
  EXPECT_EQ(output->gpu_bytes, 7 * kMiB + problem.devices[0].fixed);
  EXPECT_EQ(none->ram_bytes - output->ram_bytes, 7 * kMiB);
}

TEST(GpuSplit, WhatFitsNowhereIsStreamed) {
  SplitProblem problem = large_dense();
  problem.ram_budget = 8 * kGiB;
  const auto best = best_split(problem);
  ASSERT_TRUE(best);
  const uint64_t cpu_weights = 36 * 500 * kMiB;
  const uint64_t left = problem.ram_budget - problem.ram_fixed - 36 * 16 * kMiB - problem.ring;
  EXPECT_EQ(best->layers, 45U);
  EXPECT_EQ(best->streamed_bytes, cpu_weights - left);
  EXPECT_LE(best->ram_bytes, problem.ram_budget);
  // The disk stands still from when the ring is full until the GPU is done.
  const double filling = share(problem.ring) / 2.5e9;
  const double reading = 0.0001 + share(best->streamed_bytes) / 2.5e9;
  EXPECT_GT(reading, best->layers * 0.001);
  EXPECT_NEAR(best->token_seconds, reading + std::max(0.0, 45 * 0.001 - filling), 1e-9);
}

// With a GPU no faster than the processors, and passes that are handed over at a price, nothing is gained by it.
TEST(GpuSplit, AGpuThatIsNoFasterGetsNothing) {
  SplitProblem problem = large_dense();
  for (size_t i = 0; i < problem.layers.size(); ++i) {
    problem.devices[0].seconds[i] = problem.layers[i].on_cpu;
  }
  const auto best = best_split(problem);
  ASSERT_TRUE(best);
  EXPECT_EQ(best->layers, 0U);
  problem.ram_budget = 8 * kGiB;  // but its memory is worth something where RAM is short
  const auto short_of_ram = best_split(problem);
  ASSERT_TRUE(short_of_ram);
  EXPECT_GT(short_of_ram->layers, 0U);
}

TEST(GpuSplit, PromptsAreOffloadedFromSoManyTokensOn) {
  SplitProblem problem = large_dense();
  const auto here = split_at(problem, 41);
  problem.offload_from = 32;
  problem.devices[0].upload_bytes_per_second = 50e9;
  const auto there = split_at(problem, 41);
  ASSERT_TRUE(here && there);
  EXPECT_EQ(there->token_seconds, here->token_seconds);
  EXPECT_LT(there->prompt_seconds, here->prompt_seconds);
  const double uploading = share(40 * 500 * kMiB) / 50e9;
  EXPECT_NEAR(there->prompt_seconds, 80 * (0.001 + 511 * 0.00001) + 0.001 + uploading + kHandover, 1e-9);
  problem.prompt_pass = 31;
  problem.offload_from = 32;
  EXPECT_NEAR(split_at(problem, 41)->prompt_seconds,
              40 * (0.001 + 30 * 0.00001) + 0.001 + 40 * (0.010 + 30 * 0.001) + kHandover, 1e-9);
}

TEST(GpuSplit, NothingFits) {
  SplitProblem problem = large_dense();
  problem.ram_budget = problem.ram_fixed;
  problem.devices[0].budget = 10 * kGiB;
  EXPECT_FALSE(best_split(problem));
  problem.devices[0].budget = 100 * kGiB;  // all of it on the GPU
  const auto best = best_split(problem);
  ASSERT_TRUE(best);
  EXPECT_EQ(best->layers, 81U);
  EXPECT_EQ(best->ram_bytes, problem.ram_fixed);
  EXPECT_NEAR(best->token_seconds, 81 * 0.001, 1e-9) << "nothing is handed over";
}

TEST(GpuSplit, SeveralGpusGetWhatEachHasRoomFor) {
  SplitProblem problem = large_dense();
  problem.devices.push_back(device_of(9 * kGiB, 3));
  const auto best = best_split(problem);
  ASSERT_TRUE(best);
  // As one: 45 with the output; 8 GiB of layers of 516 MiB are 15, one of which is the output, which is no larger.
  EXPECT_EQ(best->device_layers, (std::vector<uint32_t>{45, 15}));
  EXPECT_EQ(best->layers, 60U);
  EXPECT_NEAR(best->token_seconds, 45 * 0.001 + 15 * 0.003 + 21 * 0.010 + 2 * kHandover, 1e-9);
  const GpuSplitPart part = gpu_part(problem, best->device_layers);
  EXPECT_EQ(part.devices[0].weights, 45 * 500 * kMiB);
  EXPECT_EQ(part.devices[1].weights, 15 * 500 * kMiB);
  EXPECT_NEAR(part.devices[0].kv_share, 45.0 / 59, 1e-9);
  EXPECT_NEAR(part.devices[0].kv_share + part.devices[1].kv_share, 1, 1e-9);
  EXPECT_EQ(part.devices[1].compute_share, 0.5);
}

// The layers of one that fit on either are the faster one's; with all named, each has one.
TEST(GpuSplit, TheFasterGpuGetsMore) {
  SplitProblem problem = large_dense();
  problem.layers.erase(problem.layers.begin(), problem.layers.begin() + 60);
  problem.devices = {device_of(24 * kGiB, 3), device_of(24 * kGiB, 1)};
  for (SplitDevice& it : problem.devices) {
    it.seconds.erase(it.seconds.begin(), it.seconds.begin() + 60);
  }
  EXPECT_EQ(best_split(problem)->device_layers, (std::vector<uint32_t>{0, 21}));
  problem.all_devices = true;
  EXPECT_EQ(best_split(problem)->device_layers, (std::vector<uint32_t>{1, 20}));
  problem.devices[1].most = 5;
  EXPECT_EQ(best_split(problem)->device_layers, (std::vector<uint32_t>{16, 5}));
  problem.devices[0].budget = kGiB;
  EXPECT_FALSE(best_split(problem, 1)) << "which has no room for one";
}

// What passes of many tokens take over is the first's that has layers.
TEST(GpuSplit, TheFirstOfSeveralIsTheOneThatTakesPrompts) {
  SplitProblem problem = large_dense();
  problem.devices = {device_of(2 * kGiB, 1), device_of(24 * kGiB, 4)};
  problem.devices[0].upload_bytes_per_second = 10e9;
  problem.devices[1].upload_bytes_per_second = 40e9;
  problem.offload_from = 32;
  EXPECT_EQ(gpu_part(problem, std::vector<uint32_t>{1, 4}).upload_bytes_per_second, 10e9);
  EXPECT_NEAR(gpu_part(problem, std::vector<uint32_t>{1, 4}).off_cpu.first, 76 * 0.001, 1e-9);
  EXPECT_EQ(gpu_part(problem, std::vector<uint32_t>{0, 4}).upload_bytes_per_second, 40e9);
  EXPECT_NEAR(gpu_part(problem, std::vector<uint32_t>{0, 4}).off_cpu.first, 77 * 0.004, 1e-9);
}

// No division of several is better than the one found, whatever the sizes.
TEST(GpuSplit, NoDivisionOfTwoIsBetter) {
  for (uint64_t first = 1; first < 30; first += 4) {
    for (uint64_t second = 1; second < 30; second += 4) {
      SplitProblem problem = large_dense();
      problem.devices = {device_of(first * kGiB, 2), device_of(second * kGiB, 1)};
      const auto best = best_split(problem, 20, 20);
      double least = 1;
      for (uint32_t count = 0; count <= 20; ++count) {
        const uint64_t others = (20 - count) * 500 * kMiB + (20 - count - (count < 20 ? 1 : 0)) * 16 * kMiB;
        const uint64_t its = count * 500 * kMiB + (count - (count == 20 ? 1 : 0)) * 16 * kMiB;
        const bool fits = (count == 0 || its + kGiB <= first * kGiB) && (count == 20 || others + kGiB <= second * kGiB);
        const double handovers = (count == 0 || count == 20 ? 1 : 2) * kHandover;
        least = fits ? std::min(least, 0.002 * count + 0.001 * (20 - count) + 61 * 0.010 + handovers) : least;
      }
      ASSERT_EQ(best.has_value(), least < 1) << first << " and " << second;
      EXPECT_NEAR(best ? best->token_seconds : 1, least, 1e-9) << first << " and " << second;
    }
  }
}

// No division is better than the one found, whatever the sizes.
TEST(GpuSplit, NoneIsBetter) {
  for (uint64_t ram = 2; ram < 48; ram += 5) {
    for (uint64_t gpu = 0; gpu < 44; gpu += 4) {
      SplitProblem problem = large_dense();
      problem.ram_budget = ram * kGiB;
      problem.devices[0].budget = gpu * kGiB;
      const auto best = best_split(problem);
      for (uint32_t layers = 0; layers <= problem.layers.size(); ++layers) {
        const auto split = split_at(problem, layers);
        if (split) {
          ASSERT_TRUE(best);
          EXPECT_LE(best->token_seconds + best->prompt_seconds / 512,
                    split->token_seconds + split->prompt_seconds / 512);
          EXPECT_LE(split->gpu_bytes, problem.devices[0].budget);
          EXPECT_LE(split->ram_bytes, problem.ram_budget);
        }
      }
    }
  }
}

}  // namespace
}  // namespace hypura
