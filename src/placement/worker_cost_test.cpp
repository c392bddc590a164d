#include "placement/worker_cost.h"

#include <gtest/gtest.h>

#include <limits>

#include "placement/placement.h"
#include "placement/problem_for_test.h"
#include "placement/worker_choice.h"

namespace hypura {
namespace {

constexpr double kExpert = 0.0002;  // seconds of computing one for one token
constexpr double kRead = 0.004;     // and of reading it
constexpr double kNear = 1e-12;
constexpr double kEndless = std::numeric_limits<double>::infinity();

// 24 layers, of which a token uses 8 of 64 experts.
PlacementProblem problem_of_reads() {
  PlacementProblem problem = moe_problem(0);
  problem.expert_disk = {static_cast<double>(problem.experts[0].bytes) / kRead, 0};
  problem.reads_ahead = false;
  return problem;
}

// `kept` experts of each layer are in memory here.
Placement keeping(const PlacementProblem& problem, uint32_t kept) {
  Placement placement;
  placement.experts.streamed = true;
  placement.experts.slots = 24 * kept + 8;
  placement.experts.spare_slots = 8;
  placement.experts.group_slots = {24 * kept};
  placement.ubatch = problem.ubatch[0].tokens;
  return placement;
}

// As fast as this machine, and no way off.
WorkerPart near_worker(const PlacementProblem& problem, double kept) {
  WorkerPart worker;
  worker.name = "box:1";
  worker.layer_experts = kept;
  worker.disk_bytes_per_second = problem.expert_disk.bytes_per_second;
  worker.way.send_bytes_per_second = worker.way.receive_bytes_per_second = kEndless;
  return worker;
}

WorkersLayer layer_of(const PlacementProblem& problem, uint32_t kept, uint32_t tokens = 1) {
  return workers_layer_cost(problem, keeping(problem, kept), problem.experts[0], kept, tokens);
}

double share_seconds(double experts, double misses) {
  return misses * kRead + kOverlapLoss * experts * kExpert;
}

TEST(WorkerCost, WhatNobodyHasIsReadByBoth) {
  PlacementProblem problem = problem_of_reads();
  problem.workers = {near_worker(problem, 0)};
  const WorkersLayer layer = layer_of(problem, 0);
  EXPECT_NEAR(layer.cost.seconds, kAskingSeconds + share_seconds(4, 4), kNear);
  EXPECT_NEAR(layer.machines[0].misses, 4, kNear);
  EXPECT_NEAR(layer.machines[1].misses, 4, kNear);
  EXPECT_NEAR(layer.cost.misses, 8, kNear);
  EXPECT_NEAR(layer.cost.bytes, 4.0 * static_cast<double>(problem.experts[0].bytes), 1e-3);
  EXPECT_NEAR(layer.cost.elsewhere, 4 * kExpert, kNear);
}

TEST(WorkerCost, TheWayCostsItsRoundTripAndItsBytes) {
  PlacementProblem problem = problem_of_reads();
  WorkerPart worker = near_worker(problem, 64);  // which has all
  worker.slower = 3;
  worker.way = {0.0005, 1e8, 5e7, 2000, 8192, 300, 8192};
  problem.workers = {worker};
  const double expected = 0.0005 + kAskingSeconds + 8 * 3 * kExpert + (2000 + 8192) / 1e8 + (300 + 8 * 8192) / 5e7;
  EXPECT_NEAR(layer_of(problem, 0).cost.seconds, expected, kNear);
  EXPECT_NEAR(layer_of(problem, 0).machines[1].experts, 8, kNear);
}

TEST(WorkerCost, WhoIsSlowerIsGivenLess) {
  PlacementProblem problem = problem_of_reads();
  problem.workers = {near_worker(problem, 0), near_worker(problem, 0)};
  problem.workers[1].disk_bytes_per_second /= 2;
  const WorkersLayer layer = layer_of(problem, 0);
  EXPECT_NEAR(layer.machines[0].experts, 3, kNear);
  EXPECT_NEAR(layer.machines[1].experts, 3, kNear);
  EXPECT_NEAR(layer.machines[2].experts, 2, kNear);
  EXPECT_NEAR(layer.cost.seconds, kAskingSeconds + 2 * 2 * kRead + kOverlapLoss * 2 * kExpert, kNear);
}

TEST(WorkerCost, TogetherTheMemoriesHoldWhatTheyAreLarge) {
  PlacementProblem problem = problem_of_reads();
  problem.workers = {near_worker(problem, 24)};
  const WorkersLayer layer = layer_of(problem, 8);
  const double missing = expected_experts(problem.experts[0].popularity, 32, 1);
  EXPECT_NEAR(layer.cost.misses, missing, 0.1 * missing);  // of tokens that are drawn
  problem.workers[0].layer_experts = 56;
  EXPECT_NEAR(layer_of(problem, 8).cost.misses, 0, kNear);
}

// A token costs what its machines do.
TEST(WorkerCost, PassesAreTheirs) {
  PlacementProblem problem = problem_of_reads();
  const Placement placement = keeping(problem, 8);
  const PassCost alone = pass_cost(problem, placement, 1);
  const double prompt = prompt_seconds(problem, placement, 512, false);
  problem.workers = {near_worker(problem, 8)};
  const PassCost with = pass_cost(problem, placement, 1);
  EXPECT_LT(with.seconds, 0.7 * alone.seconds);
  EXPECT_LT(with.bytes, alone.bytes);
  EXPECT_NEAR(with.uses, alone.uses, 1e-9);
  EXPECT_EQ(pass_cost(problem, placement, 1).seconds, with.seconds) << "the same is drawn each time";
  EXPECT_LT(prompt_seconds(problem, placement, 512, false), 0.7 * prompt);
  problem.workers[0].most_tokens = 16;
  EXPECT_EQ(prompt_seconds(problem, placement, 512, false), prompt) << "it takes no such passes";
  const std::vector<MachineCost> machines = machine_costs(problem, placement, 1);
  EXPECT_NEAR(machines[0].experts + machines[1].experts, with.uses, 1e-6);
  EXPECT_NEAR((machines[0].misses + machines[1].misses), with.misses, 1e-6);
}

TEST(WorkerCost, OfAPromptEachReadsAPart) {
  PlacementProblem problem = problem_of_reads();
  problem.workers = {near_worker(problem, 0)};
  const WorkersLayer layer = layer_of(problem, 0, 512);
  const double uses = expected_experts(problem.experts[0].popularity, 0, 512);
  EXPECT_NEAR(layer.machines[0].misses + layer.machines[1].misses, uses, 1e-9);
  EXPECT_NEAR(layer.machines[0].misses, uses / 2, 1);
  problem.workers[0].layer_experts = 64;  // it has all of them, and computes as long as this machine reads a few
  EXPECT_LT(layer_of(problem, 0, 512).machines[0].misses, layer.machines[0].misses);
  EXPECT_EQ(layer_of(problem, 0, 512).machines[1].misses, 0);
  problem.workers[0].way.receive_bytes_per_second = 1e4;
  problem.workers[0].way.row_bytes = 8192;
  EXPECT_EQ(layer_of(problem, 0, 512).machines[1].experts, 0) << "its rows are longer under way";
}

TEST(WorkerCost, APlacementDoesNotDependOnWorkers) {
  PlacementProblem problem = moe_problem(2 * kGiB);
  const auto alone = place(problem);
  problem.workers = {near_worker(problem, 64)};
  const auto with = place(problem);
  ASSERT_TRUE(alone && with);
  EXPECT_EQ(with->experts.slots, alone->experts.slots);
  EXPECT_EQ(with->objective, alone->objective);
}

TEST(WorkerChoice, TakesTheOneThatGainsMostFirst) {
  const PlacementProblem problem = problem_of_reads();
  std::vector<WorkerPart> found = {near_worker(problem, 4), near_worker(problem, 16)};
  found[0].disk_bytes_per_second /= 4;
  const auto choices = choose_workers(problem, keeping(problem, 8), found, false);
  ASSERT_EQ(choices.size(), 2U);
  for (const WorkerChoice& it : choices) {
    EXPECT_TRUE(it.asked);
    EXPECT_GT(it.without, kLeastWorkerGain * it.with);
    EXPECT_EQ(it.hindrance, WorkerHindrance::kNone);
  }
  EXPECT_EQ(choices[0].with, choices[1].with);
  EXPECT_LT(choices[0].without, choices[1].without);
}

TEST(WorkerChoice, WhereNothingIsReadThereIsNothingToSave) {
  const PlacementProblem problem = problem_of_reads();
  std::vector<WorkerPart> found = {near_worker(problem, 64)};
  found[0].slower = 100;
  const auto choices = choose_workers(problem, keeping(problem, 64), found, false);
  EXPECT_FALSE(choices[0].asked);
  EXPECT_EQ(choices[0].hindrance, WorkerHindrance::kNothing);
}

struct Unpaid {
  const char* name;
  void (*spoil)(WorkerPart&);
  WorkerHindrance hindrance;
};

class WorkerThatDoesNotPay : public testing::TestWithParam<Unpaid> {};

TEST_P(WorkerThatDoesNotPay, IsLeftOut) {
  const PlacementProblem problem = problem_of_reads();
  const Placement placement = keeping(problem, 8);
  WorkerPart worker = near_worker(problem, 16);
  worker.way.ask_bytes = worker.way.row_bytes = 8192;
  GetParam().spoil(worker);
  const std::vector<WorkerPart> found = {worker, near_worker(problem, 16)};
  const auto choices = choose_workers(problem, placement, found, false);
  EXPECT_FALSE(choices[0].asked);
  EXPECT_EQ(choices[0].hindrance, GetParam().hindrance);
  EXPECT_LT(choices[0].without, kLeastWorkerGain * choices[0].with);
  EXPECT_TRUE(choices[1].asked);
  EXPECT_EQ(choices[1].with, choices[0].without);
  EXPECT_TRUE(choose_workers(problem, placement, found, true)[0].asked) << "it is wanted whatever it gains";
}

INSTANTIATE_TEST_SUITE_P(Workers, WorkerThatDoesNotPay,
                         testing::Values(Unpaid{"far", [](WorkerPart& it) { it.way.round_trip = 1; },
                                                WorkerHindrance::kRoundTrip},
                                         Unpaid{"narrow", [](WorkerPart& it) { it.way.send_bytes_per_second = 1e4; },
                                                WorkerHindrance::kBandwidth},
                                         Unpaid{"slow",
                                                [](WorkerPart& it) {
                                                  it.slower = 1e4;
                                                  it.disk_bytes_per_second = 1e3;
                                                },
                                                WorkerHindrance::kSpeed}),
                         [](const auto& it) { return it.param.name; });

}  // namespace
}  // namespace hypura
