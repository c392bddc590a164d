#include "placement/ffn_cost.h"

#include <gtest/gtest.h>

#include <limits>

#include "placement/problem_for_test.h"
#include "placement/worker_choice.h"

namespace hypura {
namespace {

constexpr double kWeightSeconds = 0.001;
constexpr uint64_t kWeightBytes = 10'000'000;  // read in 0.01 s
constexpr int kParts = 10;
constexpr double kFfnNear = 1e-9;

// Ten layers of two attention matrices and a feed-forward part of three. Reading takes ten times as long as computing.
PlacementProblem ffn_problem() {
  PlacementProblem problem = dense_problem(0);
  problem.dense.clear();
  for (int layer = 0; layer < kParts; ++layer) {
    for (int i = 0; i < 5; ++i) {
      problem.dense.push_back({kWeightBytes, kWeightBytes, {kWeightSeconds, kWeightSeconds / 10}});
      problem.dense.back().part = i < 2 ? -1 : layer;
    }
  }
  problem.rest = {};
  problem.tables = {};
  problem.dense_disk = {1e9, 0};
  problem.dense_issuing = 0;
  problem.contention = {};
  return problem;
}

// What no worker computes is in memory, and the first `parts` feed-forward parts.
Placement ffn_placement(const PlacementProblem& problem, int parts) {
  Placement placement;
  placement.dense.streamed = true;
  placement.dense.ring_bytes = 4 * kWeightBytes;
  placement.ubatch = problem.ubatch[0].tokens;
  for (const DenseWeight& it : problem.dense) {
    placement.dense.pinned.push_back(it.part < parts);
    placement.dense.streamed_bytes += it.part < parts ? 0 : it.bytes;
  }
  return placement;
}

// As fast as this machine, with memory for so many parts, and no way off.
WorkerPart ffn_worker(uint64_t parts) {
  WorkerPart worker;
  worker.name = "box:1";
  worker.room = parts * 3 * kWeightBytes;
  worker.disk_bytes_per_second = 1e9;
  worker.way.send_bytes_per_second = worker.way.receive_bytes_per_second = std::numeric_limits<double>::infinity();
  return worker;
}

TEST(FfnCost, MemoriesAddUp) {
  PlacementProblem problem = ffn_problem();
  const Placement placement = ffn_placement(problem, 0);
  const double computing = 50 * kWeightSeconds;
  EXPECT_NEAR(pass_cost(problem, placement, 1).seconds, 30 * 0.01, kFfnNear);
  problem.workers = {ffn_worker(kParts)};
  const PassCost token = pass_cost(problem, placement, 1);
  EXPECT_NEAR(token.bytes, 0, kFfnNear);
  EXPECT_NEAR(token.seconds, computing + kParts * kAskingSeconds, kFfnNear);
  EXPECT_NEAR(token.compute, 20 * kWeightSeconds, kFfnNear);
  const FfnCost cost = ffn_cost(problem, placement, 1);
  EXPECT_EQ(cost.machines[1].experts, kParts);
  EXPECT_EQ(cost.machines[1].misses, 0);
}

TEST(FfnCost, SoDoDisks) {
  PlacementProblem problem = ffn_problem();
  const Placement placement = ffn_placement(problem, 0);
  problem.workers = {ffn_worker(0), ffn_worker(0)};
  const FfnCost cost = ffn_cost(problem, placement, 1);
  EXPECT_NEAR(cost.reading, 3 * 3 * 0.01, 3 * 0.01 + kFfnNear);
  EXPECT_NEAR(pass_cost(problem, placement, 1).seconds, 4 * 3 * 0.01, kFfnNear);
  EXPECT_EQ(cost.machines[0].experts + cost.machines[1].experts + cost.machines[2].experts, kParts);
  EXPECT_NEAR(cost.machines[1].misses, cost.machines[1].experts, kFfnNear);
}

TEST(FfnCost, TheWayAndHowFastTheyComputeCount) {
  PlacementProblem problem = ffn_problem();
  const Placement placement = ffn_placement(problem, 0);
  WorkerPart worker = ffn_worker(kParts);
  worker.slower = 2;
  worker.way = {0.0005, 1e8, 5e7, 2000, 8192, 300, 8192};
  problem.workers = {worker};
  const double ask = 0.0005 + kAskingSeconds + (2000 + 8192) / 1e8 + (300 + 8192) / 5e7;
  EXPECT_NEAR(pass_cost(problem, placement, 1).seconds, 80 * kWeightSeconds + kParts * ask, kFfnNear);
}

TEST(FfnCost, APromptAsksUnlessItIsRepacked) {
  PlacementProblem problem = ffn_problem();
  const Placement placement = ffn_placement(problem, 0);
  problem.workers = {ffn_worker(kParts)};
  EXPECT_TRUE(asks_for_ffn(problem, placement, 512));
  EXPECT_FALSE(asks_for_ffn(problem, placement, 513));
  EXPECT_NEAR(pass_cost(problem, placement, 101).seconds, 50 * 11 * kWeightSeconds + kParts * kAskingSeconds, kFfnNear);
  problem.dense[3].repacked_from = 32;
  EXPECT_TRUE(asks_for_ffn(problem, placement, 31));
  EXPECT_FALSE(asks_for_ffn(problem, placement, 32));
}

TEST(FfnCost, AWorkerThatDoesNotPayIsLeftOutWithTheReason) {
  const PlacementProblem problem = ffn_problem();
  const auto choice = [&](const WorkerPart& worker, int parts) {
    return choose_workers(problem, ffn_placement(problem, parts), std::vector{worker}, false).front();
  };
  EXPECT_TRUE(choice(ffn_worker(kParts), 0).asked);
  EXPECT_FALSE(choice(ffn_worker(kParts), kParts).asked);
  EXPECT_EQ(choice(ffn_worker(kParts), kParts).hindrance, WorkerHindrance::kNothing);
  WorkerPart slow = ffn_worker(kParts);
  slow.slower = 50;
  EXPECT_FALSE(choice(slow, 0).asked);
  EXPECT_EQ(choice(slow, 0).hindrance, WorkerHindrance::kSpeed);
  WorkerPart far = ffn_worker(kParts);
  far.way.round_trip = 0.1;
  EXPECT_FALSE(choice(far, 0).asked);
  EXPECT_EQ(choice(far, 0).hindrance, WorkerHindrance::kRoundTrip);
}

}  // namespace
}  // namespace hypura
