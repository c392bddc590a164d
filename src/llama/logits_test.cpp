#include "llama/logits.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace hypura {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(Logits, NumbersWillDo) {
  EXPECT_TRUE(check_logits(std::vector<float>{0, 0, 0}));
  EXPECT_TRUE(check_logits(std::vector<float>{-1e30F, 3, 1e30F}));
  EXPECT_TRUE(check_logits(std::vector<float>{-kInfinity, -2, -kInfinity})) << "tokens may be ruled out";
}

TEST(Logits, WhatIsNoNumberIsRefusedWhereverItStands) {
  for (const float bad : {kNan, kInfinity, -kNan}) {
    for (size_t at = 0; at < 9; ++at) {
      std::vector<float> logits(9, 1.0F);
      logits[at] = bad;
      EXPECT_FALSE(check_logits(logits)) << bad << " at " << at;
    }
  }
  EXPECT_FALSE(check_logits(std::vector<float>(9, kNan)));
}

TEST(Logits, SomethingMustBePossible) {
  EXPECT_FALSE(check_logits(std::vector<float>(9, -kInfinity)));
  EXPECT_FALSE(check_logits({}));
}

}  // namespace
}  // namespace hypura
