#include "placement/pinning.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace hypura {
namespace {

TEST(ChoosePinned, StaysUnderAndSpreadsEvenly) {
  const std::vector<uint64_t> items(100, 10);
  for (uint64_t bytes : {0U, 5U, 10U, 333U, 500U, 990U, 1000U, 5000U}) {
    const std::vector<bool> pinned = choose_pinned(items, bytes);
    uint64_t taken = 0;
    for (size_t i = 0; i < items.size(); ++i) {
      taken += pinned[i] ? items[i] : 0;
      // Never more than an item away from an even spread.
      const double even = static_cast<double>(std::min<uint64_t>(bytes, 1000)) * static_cast<double>(i + 1) / 100;
      EXPECT_NEAR(static_cast<double>(taken), even, 15.0) << bytes << " at " << i;
    }
    EXPECT_LE(taken, bytes);
    EXPECT_GE(taken + 10, std::min<uint64_t>(bytes, 1000));
  }
}

}  // namespace
}  // namespace hypura
