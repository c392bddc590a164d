// Several GPUs: which has which layers.

#include "placement/gpu_devices.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "placement/gpu_placement.h"
#include "placement/gpu_problem_for_test.h"

namespace hypura {
namespace {

double objective_with(PlacementProblem problem, const std::vector<uint32_t>& layers) {
  put_layers(*problem.gpu, layers);
  const auto placement = place_on_gpu(problem);
  return placement ? placement->objective : std::numeric_limits<double>::infinity();
}

TEST(GpuDevices, LayersLieOnOneDeviceEach) {
  PlacementProblem problem = gpu_problem({2 * kGiB, 2 * kGiB}, 8 * kGiB);
  problem.gpu->layers[0].streams = false;  // as models do whose first layer is dense
  problem.layer_groups.pop_back();
  put_layers(*problem.gpu, std::vector<uint32_t>{10, 15});
  const auto& [first, second] = std::pair(problem.gpu->devices[0], problem.gpu->devices[1]);
  EXPECT_EQ(first.layers, 10U);
  EXPECT_EQ(first.end_streamed, 9U);
  EXPECT_EQ(second.first_streamed, 9U);
  EXPECT_EQ(second.end_streamed, 23U);
  EXPECT_EQ(first.weights, 100 * kMiB);
  EXPECT_EQ(second.weights, 140 * kMiB + 60 * kMiB) << "the output is the last device's";
  EXPECT_EQ(first.kv[0] + second.kv[0], problem.gpu->kv[0].bytes);
  EXPECT_NEAR(static_cast<double>(first.kv[0]), 10.0 / 24 * static_cast<double>(problem.gpu->kv[0].bytes), 1);
  EXPECT_EQ(first.compute[0], problem.gpu->ubatch[0].device_bytes) << "each needs buffers of its own";
  EXPECT_EQ(second.compute[0], problem.gpu->ubatch[0].device_bytes);
}

// Of all divisions between two devices, none is better.
TEST(GpuDevices, TheDivisionIsTheBest) {
  struct Case {
    std::vector<uint64_t> vram;
    double slower = 1;  // the second device computes and copies so much
  };
  for (const Case& it : {Case{{2 * kGiB, 2 * kGiB}}, Case{{kGiB, 3 * kGiB}}, Case{{4 * kGiB, kGiB}},
                         Case{{2 * kGiB, 2 * kGiB}, 4}, Case{{5 * kGiB, 3 * kGiB}, 3}}) {
    PlacementProblem problem = gpu_problem(it.vram, 8 * kGiB);
    for (GpuSpeeds& speeds : problem.gpu->devices[1].speeds) {
      speeds.upload_bytes_per_second /= it.slower;
      speeds.resident.first *= it.slower;
      speeds.resident.more *= it.slower;
      speeds.rest.first *= it.slower;
      for (PassSeconds& expert : speeds.experts) {
        expert.first *= it.slower;
        expert.more *= it.slower;
      }
    }
    problem.gpu->required = true;
    divide_layers(problem);
    const std::vector<uint32_t> ours = layers_of_devices(*problem.gpu);
    const auto placement = place_on_gpu(problem);
    ASSERT_TRUE(placement) << placement.error().message;
    EXPECT_EQ(placement->gpu->device_layers, ours);
    expect_within_budgets(problem, *placement);
    for (uint32_t first = 1; first < 25; ++first) {
      EXPECT_LE(placement->objective, objective_with(problem, {first, 25 - first}) * 1.01)
          << ours[0] << " layers and " << ours[1] << ", against " << first << "; " << format_bytes(it.vram[0]);
    }
  }
}

TEST(GpuDevices, LayersFollowTheMemoryAndTheSpeed) {
  const auto first_of = [](const std::vector<uint64_t>& vram, double slower) {
    PlacementProblem problem = gpu_problem(vram, 8 * kGiB);
    for (GpuSpeeds& speeds : problem.gpu->devices[0].speeds) {
      speeds.upload_bytes_per_second /= slower;
      speeds.experts[0].first *= slower;
      speeds.rest.first *= slower;
    }
    problem.gpu->required = true;
    divide_layers(problem);
    return problem.gpu->devices[0].layers;
  };
  EXPECT_LT(first_of({kGiB, 3 * kGiB}, 1), first_of({2 * kGiB, 2 * kGiB}, 1));
  EXPECT_LT(first_of({2 * kGiB, 2 * kGiB}, 1), first_of({3 * kGiB, kGiB}, 1));
  EXPECT_LT(first_of({2 * kGiB, 2 * kGiB}, 5), first_of({2 * kGiB, 2 * kGiB}, 1));
}

// Two that are alike hold what one of twice the memory holds, less buffers of their own.
TEST(GpuDevices, TwoAreNearlyAsOneOfTwiceTheMemory) {
  PlacementProblem two = gpu_problem({2 * kGiB, 2 * kGiB}, 8 * kGiB);
  divide_layers(two);
  const auto of_two = place_on_gpu(two);
  const auto of_one = place_on_gpu(gpu_problem(4 * kGiB, 8 * kGiB));
  ASSERT_TRUE(of_two && of_one);
  EXPECT_EQ(two.gpu->used(), 2U);
  EXPECT_GE(of_two->objective, of_one->objective);
  EXPECT_LE(of_two->objective, of_one->objective * 1.3) << "of memory that each takes for itself";
  const auto of_half = place_on_gpu(gpu_problem(2 * kGiB, 8 * kGiB));
  EXPECT_LT(of_two->objective, of_half->objective);
}

TEST(GpuDevices, ADeviceThatIsNotNeededGetsNothingUnlessItWasNamed) {
  PlacementProblem problem = gpu_problem({12 * kGiB, 12 * kGiB}, 8 * kGiB);
  divide_layers(problem);
  EXPECT_EQ(layers_of_devices(*problem.gpu), (std::vector<uint32_t>{25, 0}));
  EXPECT_EQ(problem.gpu->budget(), 12 * kGiB);
  EXPECT_EQ(place_on_gpu(problem)->mode(), Mode::kResident);
  problem.gpu->required = true;
  divide_layers(problem);
  EXPECT_EQ(problem.gpu->used(), 2U);
  EXPECT_EQ(place_on_gpu(problem)->mode(), Mode::kResident);
}

TEST(GpuDevices, EverythingLiesOnTwoWhereOneIsTooSmall) {
  PlacementProblem problem = gpu_problem({4 * kGiB, 4 * kGiB}, 4 * kGiB);
  divide_layers(problem);
  const auto placement = place(problem);
  ASSERT_TRUE(placement) << placement.error().message;
  ASSERT_TRUE(placement->gpu);
  EXPECT_EQ(placement->mode(), Mode::kResident);
  EXPECT_EQ(problem.gpu->used(), 2U);
  expect_within_budgets(problem, *placement);
}

// Layers whose dense weights do not fit are the processors', the first ones.
TEST(GpuDevices, TheProcessorsGetLayersThatDoNotFit) {
  const uint64_t all = minimum_vram(gpu_problem(8 * kGiB, 8 * kGiB));
  uint32_t host = 0;
  double objective = 0;
  for (const uint64_t percent : {100, 80, 60, 40}) {
    PlacementProblem problem = gpu_problem(all * percent / 100, 8 * kGiB);
    divide_layers(problem);
    EXPECT_EQ(place_on_gpu(problem).has_value(), percent == 100) << "none may be left to them";
    problem.gpu->may_leave_layers = true;
    divide_layers(problem);
    const GpuProblem& gpu = *problem.gpu;
    const auto placement = place_on_gpu(problem);
    ASSERT_TRUE(placement) << placement.error().message;
    expect_within_budgets(problem, *placement);
    EXPECT_EQ(placement->gpu->host_layers, gpu.host.layers);
    EXPECT_EQ(gpu.host.layers + gpu.devices[0].layers, 25U);
    EXPECT_EQ(gpu.host.end_streamed, gpu.devices[0].first_streamed);
    EXPECT_EQ(gpu.host.weights, gpu.host.layers * 10 * kMiB);
    EXPECT_EQ(gpu.host.kv[0] + gpu.devices[0].kv[0], gpu.kv[0].bytes);
    EXPECT_EQ(pass_cost(problem, *placement, 1).processors > 0, gpu.host.layers > 0);
    EXPECT_TRUE(percent == 100 || gpu.host.layers > host) << percent << " %";
    EXPECT_GT(placement->objective, objective) << "what the processors compute takes longer";
    host = gpu.host.layers;
    objective = placement->objective;
  }
}

TEST(GpuDevices, SeveralShareWhatTheProcessorsLeave) {
  const uint64_t all = minimum_vram(gpu_problem(8 * kGiB, 8 * kGiB));
  PlacementProblem problem = gpu_problem({all * 4 / 10, all * 4 / 10}, 8 * kGiB);
  problem.gpu->may_leave_layers = true;
  problem.gpu->required = true;
  divide_layers(problem);
  const auto placement = place_on_gpu(problem);
  ASSERT_TRUE(placement) << placement.error().message;
  expect_within_budgets(problem, *placement);
  EXPECT_EQ(problem.gpu->used(), 2U);
  EXPECT_GT(problem.gpu->host.layers, 0U);
  EXPECT_EQ(problem.gpu->host.layers + problem.gpu->devices[0].layers + problem.gpu->devices[1].layers, 25U);
}

// The problem of a GPU that must leave layers to the processors.
PlacementProblem with_host_layers(uint64_t ram, bool may_ring) {
  PlacementProblem problem = gpu_problem(minimum_vram(gpu_problem(8 * kGiB, 8 * kGiB)) * 6 / 10, ram);
  problem.gpu->may_leave_layers = true;
  problem.gpu->host.may_stream = may_ring;
  divide_layers(problem);
  return problem;
}

// To 4 MiB.
uint64_t least_ram(bool may_ring) {
  uint64_t low = 0;
  uint64_t high = kGiB;
  while (high - low > 4 * kMiB) {
    const uint64_t middle = low + (high - low) / 2;
    (place_on_gpu(with_host_layers(middle, may_ring)) ? high : low) = middle;
  }
  return high;
}

TEST(GpuDevices, DenseWeightsOfTheProcessorsPassThroughARingWhereRamIsShort) {
  const uint64_t whole = least_ram(false);
  const uint64_t least = least_ram(true);
  EXPECT_LT(least + 20 * kMiB, whole);
  double seconds = 1e9;
  for (const uint64_t ram : {least, least + (whole - least) / 2, whole + 4 * kMiB, whole + kGiB}) {
    const PlacementProblem problem = with_host_layers(ram, true);
    const auto placement = place_on_gpu(problem);
    ASSERT_TRUE(placement) << placement.error().message;
    expect_within_budgets(problem, *placement);
    const DensePlacement& dense = placement->dense;
    const GpuHostLayers& host = problem.gpu->host;
    EXPECT_EQ(host.end_dense, host.layers) << "one of each layer";
    EXPECT_EQ(dense.pinned_on, dense.streamed ? Tier::kRam : Tier::kDevice);
    EXPECT_TRUE(dense.streamed || ram > whole) << format_bytes(ram);
    EXPECT_TRUE(!dense.streamed || ram < kGiB) << format_bytes(ram);
    if (dense.streamed) {
      ASSERT_EQ(dense.pinned.size(), host.layers);
      const auto pinned = static_cast<uint64_t>(std::ranges::count(dense.pinned, true));
      EXPECT_EQ(dense.streamed_bytes, (host.layers - pinned) * problem.dense[0].bytes);
      EXPECT_EQ(dense.ring_bytes > 0, dense.streamed_bytes > 0);
    }
    const PassCost token = pass_cost(problem, *placement, 1);
    EXPECT_GE(token.bytes, static_cast<double>(dense.streamed_bytes));
    EXPECT_GE(token.seconds, static_cast<double>(dense.streamed_bytes) / problem.dense_disk.bytes_per_second);
    EXPECT_LE(token.seconds, seconds) << format_bytes(ram);
    seconds = token.seconds;
  }
}

TEST(GpuDevices, WhichMemoryIsTooSmallIsSaid) {
  PlacementProblem problem = gpu_problem({4 * kGiB, 10 * kMiB}, 8 * kGiB);
  problem.gpu->required = true;
  problem.gpu->or_processors = false;
  divide_layers(problem);
  const GpuPart* device = too_small_device(problem);
  ASSERT_EQ(device, &problem.gpu->devices[1]);
  EXPECT_EQ(device->layers, 1U) << "it lacks least with one layer";
  const auto refused = place(problem);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find(format_bytes(10 * kMiB)), std::string::npos) << refused.error().message;
}

TEST(GpuDevices, AnyNumberOfThemStaysWithinTheirBudgets) {
  std::mt19937_64 random(11);
  int placed = 0;
  for (int round = 0; round < 12; ++round) {
    std::vector<uint64_t> vram(1 + random() % 5);
    for (uint64_t& it : vram) {
      it = (200 + random() % 3000) * kMiB;
    }
    PlacementProblem problem = gpu_problem(vram, (512 + random() % 8192) * kMiB);
    problem.gpu->required = random() % 2 == 0;
    divide_layers(problem);
    const std::vector<uint32_t> layers = layers_of_devices(*problem.gpu);
    EXPECT_EQ(std::accumulate(layers.begin(), layers.end(), 0U), 25U);
    EXPECT_TRUE(!problem.gpu->required || std::ranges::count(layers, 0U) == 0);
    if (const auto placement = place_on_gpu(problem)) {
      expect_within_budgets(problem, *placement);
      EXPECT_EQ(
          std::accumulate(placement->gpu->layer_slots.begin(), placement->gpu->layer_slots.end(), uint64_t{0}) > 0,
          placement->experts.streamed);
      ++placed;
    }
  }
  EXPECT_GT(placed, 6);
}

}  // namespace
}  // namespace hypura
