#include "residency/warm_order.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

std::vector<uint32_t> experts_of(const std::vector<LayerExpert>& all, uint32_t layer) {
  std::vector<uint32_t> experts;
  for (const LayerExpert& it : all) {
    if (it.layer == layer) {
      experts.push_back(it.expert);
    }
  }
  return experts;
}

TEST(WarmOrder, MemoriesFillWithDifferentExperts) {
  const std::vector<LayerExpert> hot = {{0, 7}, {1, 3}, {0, 5}, {0, 1}, {0, 2}, {0, 4}};
  const std::vector<uint32_t> here = {2, 0};
  EXPECT_EQ(experts_of(warm_order(hot, here, 0, 1), 0), (std::vector<uint32_t>{1, 2, 4, 7, 5}));
  EXPECT_EQ(experts_of(warm_order(hot, here, 0, 2), 0), (std::vector<uint32_t>{1, 4, 2, 7, 5}));
  EXPECT_EQ(experts_of(warm_order(hot, here, 1, 2), 0), (std::vector<uint32_t>{2, 1, 4, 7, 5}));
  EXPECT_EQ(experts_of(warm_order(hot, here, 1, 2), 1), (std::vector<uint32_t>{3}));
  EXPECT_TRUE(warm_order({}, here, 0, 1).empty());
}

}  // namespace
}  // namespace hypura
