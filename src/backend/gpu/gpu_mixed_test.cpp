// Of a layer the device computes what has slots there, and the processors the rest. Over the CPU both have the same
// kernels: the bits are those of the device alone. Over another device they are only near.
#include <cmath>

#include "backend/gpu/gpu_fixture_for_test.h"

namespace hypura {
namespace {

// CUDA adds the numbers of a block before it rounds them to 8 bits, the processors after: a hundredth of a product
// each, six in the end. A wrong expert gives thirty.
constexpr double kNear = 0.15;

class GpuMixedTest : public GpuFixture {
 protected:
  void expect_near(int64_t tokens, uint32_t seed) {
    if (GetParam() != Inner::kGpu) {
      expect_same(tokens, seed);
      return;
    }
    plain_->route_by_input();
    plain_->make_graph(tokens);
    streamed_->route_by_input();
    streamed_->make_graph(tokens);
    const std::vector<float> actual = streamed_->compute(backend_.get(), seed);
    const std::vector<float> expected = plain_->compute(plain_backend_.get(), seed);
    ASSERT_EQ(actual.size(), expected.size());
    double squares = 0;
    double different = 0;
    for (size_t i = 0; i < actual.size(); ++i) {
      squares += expected[i] * expected[i];
      different += (actual[i] - expected[i]) * (actual[i] - expected[i]);
    }
    ASSERT_LT(std::sqrt(different), kNear * std::sqrt(squares)) << tokens << " tokens";
  }
};

// Prompts of 16 tokens and more pass through; without room for that some experts at a time come.
TEST_P(GpuMixedTest, RowsAreThoseOfTheDeviceWhoeverComputesThem) {
  struct Case {
    uint32_t slots;
    uint32_t below;
    bool stages;
  };
  for (const auto& [slots, below, stages] : {Case{9, 1, true}, {4, 192, true}, {31, 40, true}, {5, 40, false}}) {
    SCOPED_TRACE(testing::Message() << slots << " slots, " << below << " below, " << (stages ? "staged" : "waves"));
    ASSERT_NO_FATAL_FAILURE(open_mixed(slots, below, stages));
    uint32_t seed = 0;
    for (const int64_t tokens : {1, 1, 7, 15, 16, 1, 3}) {
      ASSERT_NO_FATAL_FAILURE(expect_near(tokens, ++seed));
    }
  }
}

TEST_P(GpuMixedTest, WhatIsMissingIsComputedAndTheBestOfALayerComesUp) {
  ASSERT_NO_FATAL_FAILURE(open_mixed(8));
  ASSERT_NO_FATAL_FAILURE(expect_near(1, 5));
  constexpr auto kChosen = static_cast<uint64_t>(kLayers * kUsed);
  EXPECT_EQ(stats().cpu_experts, kChosen);
  EXPECT_EQ(stats().uploaded_bytes, kLayers * expert_bytes());
  ASSERT_NO_FATAL_FAILURE(expect_near(1, 5));
  EXPECT_EQ(stats().cpu_experts, 2 * kChosen - kLayers);
  EXPECT_EQ(stats().decode_lookups, 2 * kChosen);
  EXPECT_EQ(stats().decode_hits, static_cast<uint64_t>(kLayers));
  ASSERT_NO_FATAL_FAILURE(expect_near(1, 5));
  ASSERT_NO_FATAL_FAILURE(expect_near(1, 5));
  const uint64_t computed = stats().cpu_experts;
  const uint64_t uploaded = stats().uploaded_bytes;
  ASSERT_NO_FATAL_FAILURE(expect_near(1, 5));
  EXPECT_EQ(stats().cpu_experts, computed) << "all that it chooses have come up";
  EXPECT_EQ(stats().uploaded_bytes, uploaded);
  EXPECT_EQ(stats().decode_lookups - stats().decode_hits, computed);
}

// What is worth little more than what it would drive out stays where it is.
TEST_P(GpuMixedTest, SlotsAreNotGivenToWhatComesAndGoes) {
  ASSERT_NO_FATAL_FAILURE(open_mixed(4));
  for (uint32_t pass = 0; pass < 4; ++pass) {
    ASSERT_NO_FATAL_FAILURE(expect_near(1, 5));
  }
  const uint64_t full = stats().uploaded_bytes;
  EXPECT_EQ(full, static_cast<uint64_t>(kLayers * kUsed) * expert_bytes());
  ASSERT_NO_FATAL_FAILURE(expect_near(1, 6));
  EXPECT_EQ(stats().uploaded_bytes, full);
  for (uint32_t pass = 0; pass < 60; ++pass) {
    ASSERT_NO_FATAL_FAILURE(expect_near(1, 6));
  }
  EXPECT_GT(stats().uploaded_bytes, full) << "what is chosen again and again comes up";
}

TEST_P(GpuMixedTest, AFailedReadFailsOnePassAndLeavesTheGraphAsItWas) {
  for (const int good : {0, 2, 6}) {
    ASSERT_NO_FATAL_FAILURE(open_mixed(6));
    streamed_->make_graph(2);
    reader_->good = good;
    ASSERT_TRUE(streamed_->compute(backend_.get(), 8).empty());
    EXPECT_EQ(weights_->take_error().code, ErrorCode::kIo);
    reader_->good.reset();
    ASSERT_NO_FATAL_FAILURE(expect_near(2, 8));
    ASSERT_NO_FATAL_FAILURE(expect_near(1, 9));
  }
}

// Who computes what is a matter of what was computed before, and of nothing else.
TEST_P(GpuMixedTest, TwoRunsAreTheSame) {
  std::vector<std::vector<float>> first;
  for (int run = 0; run < 2; ++run) {
    ASSERT_NO_FATAL_FAILURE(open_mixed(6));
    uint32_t seed = 0;
    for (const int64_t tokens : {1, 20, 1, 4, 1}) {
      weights_->begin_pass(tokens == 20 ? Phase::kPrefill : Phase::kDecode);
      streamed_->make_graph(tokens);
      const std::vector<float> rows = streamed_->compute(backend_.get(), ++seed);
      ASSERT_FALSE(rows.empty());
      if (run == 0) {
        first.push_back(rows);
      } else {
        EXPECT_EQ(rows, first[seed - 1]) << tokens << " tokens";
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Over, GpuMixedTest, testing::Values(Inner::kCpu, Inner::kGpu, Inner::kLate), inner_name);

}  // namespace
}  // namespace hypura
