#include "residency/tier_quotas.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

using Quotas = std::vector<uint32_t>;

TEST(TierQuotas, KeepNothingThatTheTierAboveHolds) {
  const TierShare layers[] = {{8, 8}, {8, 2}, {8, 0}};
  EXPECT_EQ(quotas_below(layers, {}, 9), (Quotas{0, 4, 5}));
  EXPECT_EQ(quotas_below(layers, {}, 14), (Quotas{0, 6, 8})) << "each expert is somewhere, once";
  EXPECT_EQ(quotas_below(layers, {}, 0), (Quotas{0, 0, 0}));
}

TEST(TierQuotas, AreThePlansWhereNothingIsHeldTwice) {
  const TierShare layers[] = {{8, 2}, {8, 2}};
  EXPECT_EQ(quotas_below(layers, Quotas{5, 1}, 6), (Quotas{5, 1}));
  EXPECT_EQ(quotas_below(layers, Quotas{8, 0}, 8), (Quotas{6, 2})) << "what the first cannot use";
}

TEST(TierQuotas, WhatIsLeftHoldsSomeTwice) {
  const TierShare layers[] = {{4, 4}, {4, 1}};
  EXPECT_EQ(quotas_below(layers, {}, 5), (Quotas{2, 3}));
  EXPECT_EQ(quotas_below(layers, {}, 100), (Quotas{4, 4}));
}

}  // namespace
}  // namespace hypura
