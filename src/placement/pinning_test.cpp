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

// Layers of two items that are no worker's and two that are a part.
TEST(ChoosePinned, BesideWorkersWholePartsStayOrNone) {
  constexpr size_t kLayers = 20;
  std::vector<uint64_t> items;
  std::vector<int> parts;
  for (size_t layer = 0; layer < kLayers; ++layer) {
    items.insert(items.end(), {3, 3, 10, 10});
    parts.insert(parts.end(), {-1, -1, static_cast<int>(layer), static_cast<int>(layer)});
  }
  for (const uint64_t bytes : {0U, 2U, 60U, 120U, 145U, 320U, 520U, 1000U}) {
    const std::vector<bool> pinned = choose_pinned(items, parts, bytes);
    uint64_t alone = 0;
    uint64_t taken = 0;
    size_t half = 0;
    size_t first_half = 0;  // whole parts among the first layers
    size_t whole = 0;
    for (size_t i = 0; i < items.size(); i += 4) {
      alone += (pinned[i] ? 3U : 0U) + (pinned[i + 1] ? 3U : 0U);
      taken += (pinned[i + 2] ? 10U : 0U) + (pinned[i + 3] ? 10U : 0U);
      half += pinned[i + 2] != pinned[i + 3] ? 1 : 0;
      whole += pinned[i + 2] && pinned[i + 3] ? 1 : 0;
      first_half += i < items.size() / 2 && pinned[i + 2] && pinned[i + 3] ? 1 : 0;
    }
    EXPECT_LE(alone + taken, bytes);
    EXPECT_LE(half, 1U) << bytes << ": what is left over";
    EXPECT_EQ(alone, std::min<uint64_t>(120, bytes / 3 * 3)) << bytes;
    EXPECT_EQ(whole, bytes < 120 ? 0 : std::min<uint64_t>(kLayers, (bytes - 120) / 20)) << bytes;
    EXPECT_LE(first_half, whole / 2 + 1) << bytes << ": they lie spread";
  }
}

}  // namespace
}  // namespace hypura
