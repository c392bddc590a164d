// For tests: placement problems with GPUs.
#pragma once

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "placement/gpu_cost.h"
#include "placement/gpu_devices.h"
#include "placement/placement.h"
#include "placement/problem_for_test.h"

namespace hypura {

// moe_problem() with GPUs of so much memory that copy 25 GB/s, cut in 30 us and compute a token in 3 ms. The layers are
// divided by memory.
inline PlacementProblem gpu_problem(const std::vector<uint64_t>& vram, uint64_t ram) {
  PlacementProblem problem = moe_problem(ram);
  problem.layer_groups.assign(24, 0);
  GpuProblem gpu;
  gpu.may_stream = true;
  gpu.layers.assign(24, {10 * kMiB, 1.0 / 24, true, 1});
  gpu.layers.push_back({60 * kMiB});
  gpu.host_weights = 20 * kMiB;
  gpu.other = kMiB;
  gpu.kv = {{KvType::kF16, 100 * kMiB, 0}};
  for (uint32_t tokens : {4096U, 2048U, 1024U, 512U, 256U, 128U, 64U, 32U}) {
    gpu.ubatch.push_back({tokens, kMiB + tokens * kKiB, 2 * kMiB, 0, 20 * kMiB + tokens * 30 * kKiB});
  }
  gpu.groups = {{problem.experts[0].bytes, 16 * kKiB}};
  GpuSpeeds speeds;
  speeds.upload_bytes_per_second = 25e9;
  speeds.sync_seconds = 30e-6;
  speeds.rest = {0.0005, 2e-6};
  speeds.dense.assign(problem.dense.size(), {0.00002, 4e-7});
  speeds.experts = {{8e-6, 1e-7}};
  speeds.resident = {0.0025, 3e-5};
  for (const uint64_t budget : vram) {
    GpuPart& device = gpu.devices.emplace_back();
    device.budget = budget;
    device.speeds.assign(gpu.ubatch.size(), speeds);
  }
  problem.gpu = gpu;
  put_layers(*problem.gpu, layers_by_memory(problem, static_cast<uint32_t>(vram.size())));
  return problem;
}

inline PlacementProblem gpu_problem(uint64_t vram, uint64_t ram) {
  return gpu_problem(std::vector<uint64_t>{vram}, ram);
}

inline void expect_within_budgets(const PlacementProblem& problem, const Placement& placement) {
  for (const GpuPart& device : problem.gpu->devices) {
    EXPECT_LE(gpu_device_bytes(problem, placement, device), device.budget);
  }
  EXPECT_LE(total_bytes(problem, placement), problem.budget);
  const ExpertPlacement& experts = placement.experts;
  if (!experts.streamed) {
    return;
  }
  ASSERT_EQ(experts.layer_slots.size(), problem.layer_groups.size());
  ASSERT_EQ(placement.gpu->layer_slots.size(), problem.layer_groups.size());
  const uint32_t kept = std::accumulate(experts.layer_slots.begin(), experts.layer_slots.end(), 0U);
  EXPECT_EQ(kept, std::accumulate(experts.group_slots.begin(), experts.group_slots.end(), 0U));
  EXPECT_EQ(kept + experts.spare_slots, experts.slots);
  EXPECT_TRUE(experts.spare_slots > 0 || experts.slots == experts.all);
  for (size_t i = 0; i < problem.layer_groups.size(); ++i) {
    const ExpertGroup& group = problem.experts[problem.layer_groups[i]];
    EXPECT_LE(placement.gpu->layer_slots[i], group.experts);
    const uint32_t least = i < problem.gpu->host.end_streamed ? 0 : group.used;
    EXPECT_GE(placement.gpu->layer_slots[i], least) << "a token's experts must have a place";
    EXPECT_LE(experts.layer_slots[i], group.experts);
  }
}

}  // namespace hypura
