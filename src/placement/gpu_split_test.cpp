#include "placement/gpu_split.h"

#include <gtest/gtest.h>

#include "support/units.h"

namespace hypura {
namespace {

// 80 layers of 500 MiB and the output, 40 GiB: a GPU of 24 GiB that is ten times as fast as the processors, 64 GiB of
// RAM, a disk of 2.5 GB/s.
SplitProblem large_dense() {
  SplitProblem problem;
  problem.layers.assign(80, {500 * kMiB, 16 * kMiB, {0.001, 0.00001}, {0.010, 0.001}});
  problem.layers.push_back({500 * kMiB, 0, {0.001, 0}, {0.010, 0}});
  problem.gpu_budget = 24 * kGiB;
  problem.gpu_fixed = 1 * kGiB;
  problem.ram_budget = 64 * kGiB;
  problem.ram_fixed = 1 * kGiB;
  problem.ring = 256 * kMiB;
  problem.disk = {2.5e9, 0.0001};
  problem.prompt_pass = 512;
  problem.handover = 0.00005;
  return problem;
}

double share(uint64_t bytes) {
  return static_cast<double>(bytes);
}

TEST(GpuSplit, TheGpuGetsWhatItHasRoomFor) {
  const SplitProblem problem = large_dense();
  const auto best = best_split(problem);
  ASSERT_TRUE(best);
  EXPECT_LE(best->gpu_bytes, problem.gpu_budget);
  EXPECT_FALSE(split_at(problem, best->layers + 1)) << "one more would fit";
  EXPECT_EQ(best->layers, 45U);  // 23 GiB: the output, and 44 layers of 516 MiB
  EXPECT_EQ(best->streamed_bytes, 0U);
  EXPECT_NEAR(best->token_seconds, 45 * 0.001 + 36 * 0.010 + problem.handover, 1e-9);
}

// Where the GPU computes in RAM, what it takes is not there for the processors' layers.
TEST(GpuSplit, OneMemoryIsNotGivenTwice) {
  SplitProblem problem = large_dense();
  problem.in_ram = true;
  problem.ram_budget = 32 * kGiB;
  const auto best = best_split(problem);
  ASSERT_TRUE(best);
  EXPECT_LE(best->gpu_bytes, problem.gpu_budget);
  EXPECT_LE(best->ram_bytes, problem.ram_budget);
  EXPECT_GE(best->ram_bytes, best->gpu_bytes + problem.ram_fixed);
  EXPECT_GE(best->streamed_bytes, 81 * 500 * kMiB - problem.ram_budget) << "which does not hold the model";
  problem.ram_budget = problem.gpu_fixed + problem.ram_fixed;
  EXPECT_FALSE(best_split(problem, 1));
}

TEST(GpuSplit, TheOutputIsTheFirstOnTheGpu) {
  SplitProblem problem = large_dense();
  problem.layers.back().weights = 7 * kMiB;
  const auto none = split_at(problem, 0);
  const auto output = split_at(problem, 1);
  ASSERT_TRUE(none && output);
  EXPECT_EQ(none->gpu_bytes, 0U);
  EXPECT_EQ(output->gpu_bytes, 7 * kMiB + problem.gpu_fixed);
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
  for (SplitLayer& layer : problem.layers) {
    layer.on_gpu = layer.on_cpu;
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
  problem.upload_bytes_per_second = 50e9;
  const auto there = split_at(problem, 41);
  ASSERT_TRUE(here && there);
  EXPECT_EQ(there->token_seconds, here->token_seconds);
  EXPECT_LT(there->prompt_seconds, here->prompt_seconds);
  const double uploading = share(40 * 500 * kMiB) / 50e9;
  EXPECT_NEAR(there->prompt_seconds, 80 * (0.001 + 511 * 0.00001) + 0.001 + uploading + problem.handover, 1e-9);
  problem.prompt_pass = 31;
  problem.offload_from = 32;
  EXPECT_NEAR(split_at(problem, 41)->prompt_seconds,
              40 * (0.001 + 30 * 0.00001) + 0.001 + 40 * (0.010 + 30 * 0.001) + problem.handover, 1e-9);
}

TEST(GpuSplit, NothingFits) {
  SplitProblem problem = large_dense();
  problem.ram_budget = problem.ram_fixed;
  problem.gpu_budget = 10 * kGiB;
  EXPECT_FALSE(best_split(problem));
  problem.gpu_budget = 100 * kGiB;  // all of it on the GPU
  const auto best = best_split(problem);
  ASSERT_TRUE(best);
  EXPECT_EQ(best->layers, 81U);
  EXPECT_EQ(best->ram_bytes, problem.ram_fixed);
  EXPECT_NEAR(best->token_seconds, 81 * 0.001, 1e-9) << "nothing is handed over";
}

// No division is better than the one found, whatever the sizes.
TEST(GpuSplit, NoneIsBetter) {
  for (uint64_t ram = 2; ram < 48; ram += 5) {
    for (uint64_t gpu = 0; gpu < 44; gpu += 4) {
      SplitProblem problem = large_dense();
      problem.ram_budget = ram * kGiB;
      problem.gpu_budget = gpu * kGiB;
      const auto best = best_split(problem);
      for (uint32_t layers = 0; layers <= problem.layers.size(); ++layers) {
        const auto split = split_at(problem, layers);
        if (split) {
          ASSERT_TRUE(best);
          EXPECT_LE(best->token_seconds + best->prompt_seconds / 512,
                    split->token_seconds + split->prompt_seconds / 512);
          EXPECT_LE(split->gpu_bytes, problem.gpu_budget);
          EXPECT_LE(split->ram_bytes, problem.ram_budget);
        }
      }
    }
  }
}

}  // namespace
}  // namespace hypura
