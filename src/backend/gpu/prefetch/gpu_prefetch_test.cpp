// What the next layer is predicted to choose is brought closer, and nothing else changes: not the bits, not what lies
// in slots, not what counts as found there.
#include "backend/gpu/gpu_fixture_for_test.h"

namespace hypura {
namespace {

constexpr ReadAhead kWays[] = {ReadAhead::kRouter, ReadAhead::kCoactivation};

class GpuPrefetchTest : public GpuFixture {
 protected:
  void open_even(uint32_t slots, uint32_t below, ReadAhead read_ahead, bool stages = true) {
    open(std::vector<uint32_t>(6, slots), below, stages, read_ahead);
  }

  // So many tokens, one after the other.
  void decode(uint32_t tokens, uint32_t first_seed = 1) {
    for (uint32_t seed = first_seed; seed < first_seed + tokens; ++seed) {
      ASSERT_NO_FATAL_FAILURE(expect_same(1, seed, Phase::kDecode));
    }
  }

  uint64_t prefetches() { return stats().prefetches + weights_->stats().prefetches; }
};

TEST_P(GpuPrefetchTest, BitsAreTheSame) {
  for (const ReadAhead way : kWays) {
    for (const uint32_t below : {1U, 12U, 192U}) {
      for (const uint32_t slots : {4U, 9U}) {
        SCOPED_TRACE(testing::Message() << slots << " slots, " << below << " below");
        ASSERT_NO_FATAL_FAILURE(open_even(slots, below, way));
        uint32_t seed = 0;
        for (const int64_t tokens : {1, 1, 2, 7, 1, 16, 1, 60, 1, 2}) {
          ASSERT_NO_FATAL_FAILURE(expect_same(tokens, ++seed % 5));
        }
        ASSERT_NO_FATAL_FAILURE(expect_same(30, 3, Phase::kDecode));  // whole layers
        ASSERT_NO_FATAL_FAILURE(decode(3));
      }
    }
  }
}

TEST_P(GpuPrefetchTest, MovesNoSlotAndCountsAsNoHit) {
  for (const uint32_t below : {40U, 192U}) {
    ASSERT_NO_FATAL_FAILURE(open_even(8, below, ReadAhead::kNone));
    ASSERT_NO_FATAL_FAILURE(decode(30));
    const uint64_t hits = stats().decode_hits;
    EXPECT_EQ(prefetches() + stats().predictions, 0U);
    for (const ReadAhead way : kWays) {
      ASSERT_NO_FATAL_FAILURE(open_even(8, below, way));
      ASSERT_NO_FATAL_FAILURE(decode(30));
      EXPECT_EQ(stats().decode_lookups, uint64_t{30} * kLayers * kUsed);
      EXPECT_EQ(stats().decode_hits, hits);
      const uint64_t missed = stats().decode_lookups - hits;
      EXPECT_EQ(weights_->stats().decode_lookups, missed) << "what the device lacked was asked of RAM";
      EXPECT_GT(stats().prefetches, 0U);
      EXPECT_TRUE(stats().prefetches_used > 0 || GetParam() == Inner::kGpu) << "few are right here: as it rounds";
      EXPECT_LE(stats().prefetches_used, stats().prefetches);
      EXPECT_EQ(stats().uploaded_bytes, (missed - stats().prefetches_used + stats().prefetches) * expert_bytes());
      EXPECT_EQ(stats().predictable, stats().decode_lookups * (kLayers - 1) / kLayers -
                                         (way == ReadAhead::kCoactivation ? (kLayers - 1) * kUsed : 0))
          << "all layers but the first have predictions, once something was learned";
      EXPECT_GE(stats().predictions_correct, stats().prefetches_used);
      EXPECT_GE(stats().predictions, stats().prefetches);
      EXPECT_EQ(weights_->stats().predictions, 0U) << "they are counted once";
    }
  }
}

TEST_P(GpuPrefetchTest, ReadsIntoRamWhatOnlyTheDiskHas) {
  for (const bool stages : {true, false}) {  // without, nothing can come to the device
    ASSERT_NO_FATAL_FAILURE(open_even(8, 40, ReadAhead::kRouter, stages));
    ASSERT_NO_FATAL_FAILURE(decode(30));
    const StreamStats& ram = weights_->stats();
    EXPECT_GT(ram.prefetches, 0U);
    EXPECT_GT(ram.prefetches_used, 0U);
    EXPECT_LE(ram.prefetches_used, ram.prefetches);
    EXPECT_LE(ram.decode_hits + ram.prefetches_used, ram.decode_lookups);
    EXPECT_EQ(stats().prefetches > 0, stats().staged_layers > 0 || stages);
  }
}

TEST_P(GpuPrefetchTest, IsSwitchedOffWherePassesTakeLongerWithIt) {
  constexpr uint32_t kDecided = 5 * PrefetchSwitch::kStretch;
  ASSERT_NO_FATAL_FAILURE(open_even(4, 40, ReadAhead::kAuto));
  streamed_->make_graph(1);
  for (uint32_t pass = 0; pass < kDecided + PrefetchSwitch::kStretch; ++pass) {
    const uint64_t before = prefetches();
    ASSERT_FALSE(streamed_->compute(backend_.get(), pass).empty());
    EXPECT_TRUE(pass < kDecided || prefetches() == before) << "pass " << pass;
    ASSERT_TRUE(weights_->end_pass(1, prefetches() > before ? 2.0 : 1.0));
  }
  EXPECT_GT(prefetches(), 0U);
}

TEST_P(GpuPrefetchTest, AFailedReadFailsOnePass) {
  for (const int good : {2, 6, 14}) {
    ASSERT_NO_FATAL_FAILURE(open_even(6, 40, ReadAhead::kRouter));
    reader_->good = good;
    streamed_->make_graph(1);
    bool failed = false;
    for (uint32_t seed = 1; seed < 4 && !failed; ++seed) {
      failed = streamed_->compute(backend_.get(), seed).empty();
    }
    EXPECT_TRUE(failed);
    EXPECT_EQ(weights_->take_error().code, ErrorCode::kIo);
    reader_->good.reset();
    ASSERT_NO_FATAL_FAILURE(decode(4));
  }
}

INSTANTIATE_TEST_SUITE_P(Over, GpuPrefetchTest, testing::Values(Inner::kCpu, Inner::kGpu, Inner::kLate), inner_name);

}  // namespace
}  // namespace hypura
