#include "placement/cost.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "placement/problem_for_test.h"

namespace hypura {
namespace {

Placement cached(const PlacementProblem& problem, uint32_t slots) {
  Placement placement;
  placement.experts.streamed = true;
  placement.experts.slots = slots;
  placement.experts.spare_slots = 8;
  placement.experts.group_slots = {slots - 8};
  placement.ubatch = problem.ubatch[0].tokens;
  EXPECT_LE(slots, problem.expert_slots());
  return placement;
}

TEST(Cost, ATokenThatReadsLittleIsComputing) {
  PlacementProblem problem = moe_problem(0);
  problem.expert_disk = {1e20, 0};
  const PassCost cost = pass_cost(problem, cached(problem, 400), 1);
  // 4 ms for the rest, 24 dense weights of 0.5 ms, in each layer 8 experts of 0.2 ms and 0.08 ms of our own.
  EXPECT_NEAR(cost.compute, 0.004 + 24 * 0.0005 + 24 * (8 * 0.0002 + 0.00008), 1e-9);
  EXPECT_NEAR(cost.seconds, cost.compute, 1e-9);
  EXPECT_NEAR(cost.uses, 24 * 8, 1e-9);
}

TEST(Cost, ExpertsThatEnoughTokensChoseAreRepacked) {
  PlacementProblem problem = moe_problem(0);
  problem.expert_disk = {1e20, 0};
  ExpertGroup& group = problem.experts[0];
  group.popularity.assign(64, 1.0 / 8);  // every expert alike: 512 tokens of 8 choose each about 64 times
  const double as_on_disk = pass_cost(problem, cached(problem, 400), 512).compute;
  const double one_token = pass_cost(problem, cached(problem, 400), 1).compute;
  group.repacked = {0.0005, 0.00004};
  group.repacked_from = 16;
  const double uses = pass_cost(problem, cached(problem, 400), 512).uses;
  const double rows = 24.0 * 512 * 8;
  const double saved = uses * (0.0002 - 0.0005) + (rows - uses) * (0.0001 - 0.00004);
  EXPECT_NEAR(pass_cost(problem, cached(problem, 400), 512).compute, as_on_disk - saved, 1e-6);
  EXPECT_EQ(pass_cost(problem, cached(problem, 400), 1).compute, one_token);
  group.repacked_from = 100;
  EXPECT_NEAR(pass_cost(problem, cached(problem, 400), 512).compute, as_on_disk, 1e-9);
}

TEST(Cost, ALayerWaitsForItsReads) {
  PlacementProblem problem = moe_problem(0);
  problem.expert_disk = {1e9, 0.001};
  const PassCost cost = pass_cost(problem, cached(problem, 8), 1);  // spare slots only: nothing is kept
  EXPECT_NEAR(cost.misses, 24 * 8, 1e-9);
  EXPECT_NEAR(cost.bytes, 24.0 * 8 * static_cast<double>(problem.experts[0].bytes), 1);
  const double reading = 8 * static_cast<double>(problem.experts[0].bytes) / 1e9 + 0.001;
  const double layer = reading + kOverlapLoss * 8 * 0.0002 + 0.00008;
  EXPECT_NEAR(cost.seconds, 0.004 + 24 * 0.0005 + 24 * layer, 1e-9);
}

TEST(Cost, ReadingAheadHidesTheShorter) {
  PlacementProblem problem = moe_problem(0);
  problem.expert_disk = {1e9, 0.001};
  const Placement placement = cached(problem, 8);
  const double without = pass_cost(problem, placement, 1).seconds;
  const double of_prompt = pass_cost(problem, placement, 64).seconds;
  problem.reads_ahead = true;
  EXPECT_NEAR(without - pass_cost(problem, placement, 1).seconds, 24 * (kOverlapLoss - kOverlapLossAhead) * 8 * 0.0002,
              1e-9);
  // In a prompt it hides some of a layer's reading under the attention before it, too: what the spare slots take, or as
  // much as there is time for.
  const double compute = pass_cost(problem, placement, 64).compute;
  const double before = read_before(problem, problem.experts[0], 8, 64);
  EXPECT_DOUBLE_EQ(before, dense_computing(problem, 64) / 24);
  EXPECT_DOUBLE_EQ(read_before(problem, problem.experts[0], 2, 64),
                   2 * static_cast<double>(problem.experts[0].bytes) / 1e9);
  EXPECT_NEAR(of_prompt - pass_cost(problem, placement, 64).seconds,
              24 * before + kOverlapLoss * (compute - dense_computing(problem, 64) - 24 * problem.block_seconds), 1e-9);
  const double drafts_ahead = pass_cost(problem, placement, kMostDecoded).seconds;
  Placement few = placement;
  few.experts.spare_slots = 4;
  const double ahead = pass_cost(problem, few, 1).seconds;
  problem.reads_ahead = false;
  EXPECT_EQ(pass_cost(problem, few, 1).seconds, ahead) << "there is no slot for a prediction";
  EXPECT_EQ(pass_cost(problem, placement, kMostDecoded).seconds, drafts_ahead) << "a token and its drafts";
}

TEST(Cost, ReadingAndComputingTakeFromEachOther) {
  const Contention contention = {0.3, 0.2};
  EXPECT_DOUBLE_EQ(overlapped(1, 0.5, contention), 1 + 0.3 * 0.5);
  EXPECT_DOUBLE_EQ(overlapped(0.5, 1, contention), 1 + 0.2 * 0.5);
  PlacementProblem experts = moe_problem(0);
  experts.contention = contention;
  const Contention covered = overlap_costs(experts, experts.experts[0], 8, 64);
  EXPECT_DOUBLE_EQ(overlapped(1, 0.5, covered), 1 + 0.4 * 0.5) << "the loss covers it";
  PlacementProblem problem = dense_problem(0);
  Placement placement;
  placement.dense.streamed = true;
  placement.dense.streamed_bytes = 100 * kMiB;
  const PassCost free = pass_cost(problem, placement, 1);
  const double reading = 100.0 * kMiB / 2.5e9;
  problem.contention = contention;
  EXPECT_NEAR(pass_cost(problem, placement, 1).seconds, free.compute + 0.3 * reading, 1e-9);
  placement.dense.streamed_bytes = 5000 * kMiB;
  EXPECT_NEAR(pass_cost(problem, placement, 1).seconds, 50 * reading + 0.2 * free.compute, 1e-9);
}

TEST(Cost, IssuingReadsIsComputing) {
  PlacementProblem problem = moe_problem(0);
  problem.expert_disk = {1e20, 0};
  const double before = pass_cost(problem, cached(problem, 8), 1).compute;
  problem.experts[0].issuing = 1e-5;
  const PassCost cost = pass_cost(problem, cached(problem, 8), 1);
  EXPECT_NEAR(cost.compute - before, 24 * 8 * 1e-5, 1e-9);
  EXPECT_NEAR(cost.seconds, cost.compute, 1e-9);
}

TEST(Cost, EveryTurnOfTheRingWaitsForAFirstRead) {
  PlacementProblem problem = dense_problem(0);
  Placement placement;
  placement.dense.streamed = true;
  placement.dense.streamed_bytes = 5000 * kMiB;
  const double before = pass_cost(problem, placement, 1).seconds;
  placement.dense.ring_bytes = 100 * kMiB;
  EXPECT_NEAR(pass_cost(problem, placement, 1).seconds - before, 50 * problem.dense_disk.latency, 1e-9);
}

TEST(Cost, FewSpareSlotsMeanMoreRounds) {
  PlacementProblem problem = moe_problem(0);
  problem.expert_disk = {1e12, 0.001};
  problem.experts.front().seconds = {1e-6, 1e-6};  // reading takes longer
  Placement placement = cached(problem, 8);
  const double together = pass_cost(problem, placement, 1).seconds;
  placement.experts.slots = placement.experts.spare_slots = 2;
  placement.experts.group_slots = {0};
  EXPECT_NEAR(pass_cost(problem, placement, 1).seconds - together, 24 * 3 * 0.001, 1e-9);
}

TEST(Cost, StreamedDenseWeightsHideComputing) {
  const PlacementProblem problem = dense_problem(0);
  Placement placement;
  placement.dense.streamed = true;
  placement.dense.streamed_bytes = 5000 * kMiB;
  const PassCost cost = pass_cost(problem, placement, 1);
  EXPECT_NEAR(cost.seconds, 5000.0 * kMiB / 2.5e9, 1e-9);
  EXPECT_LT(cost.compute, cost.seconds);
  placement.dense.streamed_bytes = 10 * kMiB;
  EXPECT_NEAR(pass_cost(problem, placement, 1).seconds, cost.compute, 1e-9);
}

TEST(Cost, APassWaitsForItsRowsOfTables) {
  PlacementProblem problem = dense_problem(0);
  Placement placement;
  placement.dense.streamed = true;
  const PassCost without = pass_cost(problem, placement, 64);
  problem.tables = {100 * kMiB, kMiB, 8000, 2 * kMiB, 4000, true, true};
  problem.table_disk = {1e9, 0.001};
  const PassCost of_output = pass_cost(problem, placement, 64);
  EXPECT_NEAR(of_output.seconds - without.seconds, 0.001 + 64 * 4000 / 1e9, 1e-9) << "an output is looked up too";
  placement.tables.streamed = true;
  const PassCost both = pass_cost(problem, placement, 64);
  EXPECT_NEAR(both.seconds - without.seconds, 0.001 + 64 * 12000 / 1e9, 1e-9);
  EXPECT_NEAR(both.bytes - without.bytes, 64 * 12000, 1e-9);
  const uint64_t with_rows = total_bytes(problem, placement);
  placement.tables.streamed = false;
  EXPECT_EQ(total_bytes(problem, placement) - with_rows, 99 * kMiB);
}

TEST(Cost, DenseWeightsAreRepackedForPassesOfEnoughTokens) {
  PlacementProblem problem = dense_problem(0);
  const double before = dense_computing(problem, 16);
  const PassSeconds plain = problem.dense[3].seconds;
  problem.dense[3].repacked = {0.25, 0.001};
  problem.dense[3].repacked_from = 16;
  EXPECT_NEAR(dense_computing(problem, 16) - before, 0.25 + 15 * 0.001 - plain.of(16), 1e-9);
  PlacementProblem never = problem;
  never.dense[3].repacked_from = 17;
  EXPECT_NEAR(dense_computing(never, 16), before, 1e-12);
  Placement placement;
  placement.dense.streamed = true;
  EXPECT_NEAR(pass_cost(problem, placement, 16).compute - pass_cost(never, placement, 16).compute,
              dense_computing(problem, 16) - before, 1e-9);
}

TEST(Cost, MoreCachedIsNeverSlower) {
  const PlacementProblem problem = moe_problem(0);
  for (uint32_t tokens : {1U, 7U, 64U, 512U}) {
    double before = 1e300;
    for (uint32_t slots = 8; slots <= 24 * 64; slots += 24) {
      const double seconds = pass_cost(problem, cached(problem, slots), tokens).seconds;
      EXPECT_LE(seconds, before + 1e-12);
      before = seconds;
    }
  }
}

TEST(Cost, APromptIsReadInPasses) {
  const PlacementProblem problem = moe_problem(0);
  Placement placement = cached(problem, 400);
  placement.ubatch = 128;
  const double whole = prompt_seconds(problem, placement, 128, false);
  EXPECT_NEAR(prompt_seconds(problem, placement, 256, false), 2 * whole, 1e-9);
  EXPECT_NEAR(prompt_seconds(problem, placement, 380, false),
              2 * whole + prompt_seconds(problem, placement, 124, false), 1e-9);
}

// One of 24 layers alike: its experts compute what a token has them compute.
TEST(Cost, OfAPromptTheLastLayersExpertsComputeOneRow) {
  PlacementProblem problem = moe_problem(0);
  Placement placement = cached(problem, 24 * 64);
  const double all = pass_cost(problem, placement, 512).seconds;
  const double dense = dense_computing(problem, 512);
  const double token = pass_cost(problem, placement, 1).seconds - dense_computing(problem, 1);
  EXPECT_NEAR(prompt_seconds(problem, placement, 512, false), all - (all - dense) / 24 + token / 24, 0.01);
  EXPECT_NEAR(prompt_seconds(problem, placement, 1, false), pass_cost(problem, placement, 1).seconds, 1e-9);

  // Of two groups only that which has the last layer.
  problem.experts.push_back(problem.experts[0]);
  problem.experts[0].layers = 23;
  problem.experts[1].layers = 1;
  problem.layer_groups.back() = 1;
  placement.experts.group_slots = {23 * 64, 64};
  EXPECT_NEAR(pass_cost(problem, placement, 512).seconds, all, 0.01);
  EXPECT_NEAR(prompt_seconds(problem, placement, 512, false), all - (all - dense) / 24 + token / 24, 0.01);
}

TEST(Cost, AColdPromptReadsAllExpertsItUsesOnce) {
  PlacementProblem problem = moe_problem(0);
  problem.expert_disk = {1e8, 0};  // reading decides
  Placement placement = cached(problem, 800);
  placement.ubatch = 128;
  const double warm = prompt_seconds(problem, placement, 256, false);
  const double cold = prompt_seconds(problem, placement, 256, true);
  placement.experts.group_slots = {0};
  EXPECT_NEAR(cold, warm / 2 + prompt_seconds(problem, placement, 128, false), 1e-6);
  EXPECT_GT(cold, warm);
}

TEST(Cost, ExpertReadsWaitForWhatTheRingHasUnderWay) {
  PlacementProblem problem = moe_problem(0);
  problem.expert_disk = {1e13, 0};
  Placement placement = cached(problem, 8);
  placement.dense.streamed = true;
  const double alone = pass_cost(problem, placement, 1).seconds;
  placement.dense.ring_bytes = 40 * kMiB;
  placement.dense.streamed_bytes = 10 * kMiB;          // less than 24 layers would wait for
  const double turn = problem.dense_disk.latency / 4;  // a quarter of one
  EXPECT_NEAR(pass_cost(problem, placement, 1).seconds - alone, 10.0 * kMiB / 2.5e9 + turn, 1e-9);
  placement.dense.streamed_bytes = 500 * kMiB;
  EXPECT_NEAR(pass_cost(problem, placement, 1).seconds - alone, 24 * 16.0 * kMiB / 2.5e9, 1e-9);
}

TEST(Cost, QuotasAreEven) {
  const ExpertGroup group = moe_problem(0).experts.front();
  for (uint32_t slots : {0U, 1U, 24U, 100U, 24U * 64U}) {
    uint32_t layers = 0;
    uint32_t sum = 0;
    for (const QuotaShare& share : quota_shares(group, slots)) {
      layers += share.layers;
      sum += share.layers * share.cached;
      EXPECT_LE(share.layers == 0 ? 0 : share.cached, group.experts);
    }
    EXPECT_EQ(layers, group.layers);
    EXPECT_EQ(sum, slots);
  }
}

TEST(Cost, AResidentModelReadsNothing) {
  const PlacementProblem problem = moe_problem(0);
  const PassCost cost = pass_cost(problem, Placement{}, 10);
  EXPECT_EQ(cost.bytes, 0);
  EXPECT_NEAR(cost.seconds, problem.resident.of(10), 1e-12);
}

}  // namespace
}  // namespace hypura
