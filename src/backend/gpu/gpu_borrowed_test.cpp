// Slots that layers borrow where whole layers pass through give the same bits, hold experts as any slot does, and are
// given back.
#include <tuple>

#include "backend/gpu/gpu_fixture_for_test.h"
#include "backend/gpu/slot_pool.h"

namespace hypura {
namespace {

class GpuBorrowedTest : public GpuFixture {
 protected:
  void SetUp() override {
    GpuFixture::SetUp();
    borrows_ = true;
  }
};

// Tokens that are decoded, and passes between them for which whole layers pass through, or that are too many for slots.
TEST_P(GpuBorrowedTest, BitsAreTheInnerDevicesWhateverIsBorrowed) {
  for (const ReadAhead read_ahead : {ReadAhead::kNone, ReadAhead::kRouter}) {
    for (const uint32_t below : {2U, 40U, 192U}) {
      for (const uint32_t slots : {3U, 4U, 9U, 24U, 31U}) {
        SCOPED_TRACE(testing::Message() << slots << " slots, " << below << " below");
        ASSERT_NO_FATAL_FAILURE(open(std::vector<uint32_t>(6, slots), below, true, read_ahead));
        uint32_t seed = 0;
        for (const int64_t tokens : {1, 1, 2, 1, 40, 1, 1, 1, 7, 10, 1, 1, 3, 60, 1}) {
          ASSERT_NO_FATAL_FAILURE(expect_same(tokens, ++seed % 7));
        }
      }
    }
  }
}

TEST_P(GpuBorrowedTest, LayersMayHaveDifferentNumbersOfSlots) {
  ASSERT_NO_FATAL_FAILURE(open({32, 5, 6, 4, 4, 4}));
  for (const int64_t tokens : {1, 3, 1, 40, 1, 1, 2}) {
    ASSERT_NO_FATAL_FAILURE(expect_same(tokens, static_cast<uint32_t>(tokens)));
  }
}

// Four own slots hold what one token takes; with nine that are borrowed three tokens' experts stay.
TEST_P(GpuBorrowedTest, HoldsMoreThanItsOwn) {
  const auto misses_of_second_round = [&] {
    EXPECT_NO_FATAL_FAILURE(open_even(4));
    uint64_t missed = 0;
    for (int round = 0; round < 2; ++round) {
      missed = stats().decode_lookups - stats().decode_hits;
      for (const uint32_t seed : {1U, 2U, 3U}) {
        EXPECT_NO_FATAL_FAILURE(expect_same(1, seed));
      }
    }
    return stats().decode_lookups - stats().decode_hits - missed;
  };
  const bool borrows = GetParam() != Inner::kInRam;
  EXPECT_EQ(misses_of_second_round() == 0, borrows) << "in the machine's memory nothing is borrowed";
  borrows_ = false;
  EXPECT_GT(misses_of_second_round(), 0U);
}

// What lay in borrowed slots, and nowhere in RAM, goes down to RAM: it is not read from disk again.
TEST_P(GpuBorrowedTest, WhatIsGivenBackGoesDown) {
  if (GetParam() == Inner::kInRam) {
    GTEST_SKIP() << "nothing is borrowed there";
  }
  ASSERT_NO_FATAL_FAILURE(open_even(4, 80));
  for (const uint32_t seed : {1U, 2U, 3U, 1U, 2U, 3U}) {
    ASSERT_NO_FATAL_FAILURE(expect_same(1, seed));
  }
  const auto of_layer = [&](uint32_t layer) {
    uint32_t there = 0;
    for (uint32_t expert = 0; expert < 32; ++expert) {
      there += weights_->gpu()->resident(layer, expert) ? 1 : 0;
    }
    return there;
  };
  EXPECT_GT(of_layer(0), 4U);
  ASSERT_NO_FATAL_FAILURE(expect_same(16, 4, Phase::kDecode));
  EXPECT_EQ(of_layer(0), 4U);
  ASSERT_NO_FATAL_FAILURE(expect_same(1, 3));
  EXPECT_EQ(of_layer(0), 4U) << "only behind a pass of which nothing passed through";
  ASSERT_NO_FATAL_FAILURE(expect_same(1, 1));
  ASSERT_NO_FATAL_FAILURE(expect_same(1, 2));
  EXPECT_GT(of_layer(0), 4U);
}

// Too few slots for a token: it makes the layer pass through, and nothing can be borrowed.
TEST_P(GpuBorrowedTest, NothingIsBorrowedWhereTokensMakeLayersPassThrough) {
  ASSERT_NO_FATAL_FAILURE(open({4, 3, 4, 4, 4, 4}));
  for (const uint32_t seed : {1U, 2U, 3U, 1U, 2U, 3U}) {
    ASSERT_NO_FATAL_FAILURE(expect_same(1, seed));
  }
  EXPECT_EQ(stats().staged_layers, 6U);
}

TEST_P(GpuBorrowedTest, APassThatFailsLeavesAllAsItWas) {
  ASSERT_NO_FATAL_FAILURE(open_even(4, 8));
  for (const uint32_t seed : {1U, 2U, 3U}) {
    ASSERT_NO_FATAL_FAILURE(expect_same(1, seed));
  }
  ASSERT_NO_FATAL_FAILURE(expect_one_pass_fails(1, 1));
  ASSERT_NO_FATAL_FAILURE(expect_one_pass_fails(40, 5));
}

INSTANTIATE_TEST_SUITE_P(Over, GpuBorrowedTest, testing::Values(Inner::kCpu, Inner::kGpu, Inner::kLate, Inner::kInRam),
                         inner_name);

}  // namespace
}  // namespace hypura
