// A device that computes in the machine's memory: the slots of RAM are its own, experts are read to where it computes
// with them, and nothing is copied up. Over one that computes as late as it may.
#include "backend/gpu/devices/gpu_list.h"
#include "backend/gpu/gpu_fixture_for_test.h"

namespace hypura {
namespace {

class GpuInRamTest : public GpuFixture {};

TEST_P(GpuInRamTest, BitsAreTheInnerDevicesWhateverHasSlots) {
  for (const bool stages : {true, false}) {
    for (const uint32_t slots : {0U, 3U, 4U, 9U, 32U}) {
      if (slots == 0 && !stages) {
        continue;
      }
      SCOPED_TRACE(testing::Message() << slots << " slots, " << (stages ? "staged" : "in waves"));
      ASSERT_NO_FATAL_FAILURE(open_even(slots, 0, stages));
      uint32_t seed = 0;
      for (const int64_t tokens : {1, 1, 2, 7, 15, 16, 60, 1, 60, 3, 31, 1}) {
        ASSERT_NO_FATAL_FAILURE(expect_same(tokens, ++seed % 6));
      }
      EXPECT_EQ(stats().uploaded_bytes + stats().downloaded_bytes, 0U);
      EXPECT_EQ(weights_->stats().decode_lookups, 0U) << "there is no tier below";
    }
  }
}

// Metal multiplies matrices from 32 rows on, and vectors below: a wave is computed as its block would be.
TEST_P(GpuInRamTest, WavesKeepToTheKernelsOfTheirBlock) {
  for (const int64_t tokens : {9, 31, 32, 60}) {
    ASSERT_NO_FATAL_FAILURE(open_even(3, 0, false));
    streamed_->make_graph(tokens);
    LateGpu::in_ram().take_rows();
    ASSERT_FALSE(streamed_->compute(backend_.get(), 1).empty());
    const auto [fewest, most] = LateGpu::in_ram().take_rows();
    EXPECT_EQ(fewest < 32, tokens < 32) << fewest << " rows of " << tokens;
    EXPECT_EQ(most < 32, tokens < 32) << most << " rows of " << tokens;
  }
}

// As without: the slots, their hits and the bits. What is read ahead is read once.
TEST_P(GpuInRamTest, ReadsAheadWhatTheNextLayerWillChoose) {
  uint64_t hits = 0;
  for (const ReadAhead way : {ReadAhead::kNone, ReadAhead::kRouter, ReadAhead::kCoactivation, ReadAhead::kAuto}) {
    ASSERT_NO_FATAL_FAILURE(open(std::vector<uint32_t>(6, 6), 0, true, way));
    for (uint32_t seed = 1; seed <= 30; ++seed) {
      ASSERT_NO_FATAL_FAILURE(expect_same(1, seed, Phase::kDecode));
    }
    hits = way == ReadAhead::kNone ? stats().decode_hits.load() : hits;
    EXPECT_EQ(stats().decode_hits, hits);
    EXPECT_EQ(stats().decode_lookups, uint64_t{30} * kLayers * kUsed);
    EXPECT_EQ(stats().read_ahead > 0, way != ReadAhead::kNone);
    EXPECT_EQ(stats().read_ahead_used > 0, way != ReadAhead::kNone);
    EXPECT_LE(stats().read_ahead_used, stats().read_ahead);
    for (const int64_t tokens : {2, 16, 1, 7, 60, 1, 1, 30, 1}) {
      ASSERT_NO_FATAL_FAILURE(expect_same(tokens, static_cast<uint32_t>(tokens)));
    }
    ASSERT_NO_FATAL_FAILURE(expect_same(30, 3, Phase::kDecode));  // whole layers
    ASSERT_NO_FATAL_FAILURE(expect_same(1, 3, Phase::kDecode));
  }
}

TEST_P(GpuInRamTest, WhatIsInSlotsIsNotReadAgain) {
  ASSERT_NO_FATAL_FAILURE(open_even(8));
  ASSERT_NO_FATAL_FAILURE(expect_same(1, 5));
  const uint64_t once = reader_->stats().demand_bytes;
  EXPECT_GE(once, static_cast<uint64_t>(kLayers * kUsed) * expert_bytes());
  ASSERT_NO_FATAL_FAILURE(expect_same(1, 5));
  EXPECT_EQ(reader_->stats().demand_bytes, once);
  EXPECT_EQ(stats().decode_hits, static_cast<uint64_t>(kLayers * kUsed));
}

TEST_P(GpuInRamTest, DecodingBeginsWithWhatThePromptChose) {
  ASSERT_NO_FATAL_FAILURE(open_even(12));
  ASSERT_NO_FATAL_FAILURE(expect_same(16, 7, Phase::kPrefill));
  ASSERT_NO_FATAL_FAILURE(expect_same(1, 7, Phase::kDecode));
  EXPECT_EQ(stats().seeded, uint64_t{kLayers} * 12);
  EXPECT_GT(stats().decode_hits, 0U);
}

TEST_P(GpuInRamTest, BeginsWithWhatEarlierRunsUsedMost) {
  ASSERT_NO_FATAL_FAILURE(open({2, 32, 0, 2, 2, 2}));
  RoutingTrace trace;
  trace.layers = 6;
  trace.experts = 32;
  trace.used = 4;
  for (uint16_t token = 0; token < 8; ++token) {
    trace.passes.push_back({1, true, 0});
    for (uint32_t layer = 0; layer < 6; ++layer) {
      trace.chosen.insert(trace.chosen.end(), {5, 7, static_cast<uint16_t>(12 + token), 30});
    }
  }
  weights_->recall(trace);
  weights_->warm_up();
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (stats().warmed < 8 && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const std::vector<ExpertsOfLayer> experts = weights_->experts(0);
  EXPECT_EQ(std::ranges::count(experts[1].on_gpu, true), 32);
  EXPECT_EQ(std::ranges::count(experts[0].on_gpu, true), 2);
  EXPECT_EQ(std::ranges::count(experts[0].resident, true), 0) << "there is one tier";
  ASSERT_NO_FATAL_FAILURE(expect_same(1, 1));
}

TEST_P(GpuInRamTest, AFailedReadFailsOnePass) {
  for (const uint32_t slots : {0U, 6U, 7U, 32U}) {  // with 7: in waves
    for (const int64_t tokens : {1, 30}) {
      for (const int good : {0, 6}) {
        SCOPED_TRACE(testing::Message() << slots << " slots, " << tokens << " tokens, " << good << " good reads");
        ASSERT_NO_FATAL_FAILURE(open(std::vector<uint32_t>(6, slots), 0, slots != 7, ReadAhead::kRouter));
        ASSERT_NO_FATAL_FAILURE(expect_one_pass_fails(tokens, good));
      }
    }
  }
}

TEST_P(GpuInRamTest, SlotsTakeWhatThePlanReckonsWith) {
  const ExpertLayer& layer = layout_.expert_layers[0];
  const DeviceSizes sizes = device_sizes(ggml_backend_dev_name(inner()), layer);
  const ggml_context_ptr context = describe_tensors(8);
  for (const uint32_t count : {1U, 32U}) {
    const std::vector<ggml_tensor*> matrices = describe_matrices(context.get(), layer, count, "");
    EXPECT_EQ(ExpertRoom::bytes_for(inner(), layer, matrices), count * sizes.expert_bytes);
  }
  EXPECT_TRUE(describe_gpu(inner()).integrated);
}

INSTANTIATE_TEST_SUITE_P(Over, GpuInRamTest, testing::Values(Inner::kInRam), inner_name);

}  // namespace
}  // namespace hypura
