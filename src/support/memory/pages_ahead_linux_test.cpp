#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "support/memory/memory_region.h"
#include "support/memory/pages_ahead.h"
#include "support/memory/touch_pages.h"
#include "support/units.h"

namespace hypura {
namespace {

uint64_t present_pages(std::span<std::byte> memory) {
  std::vector<unsigned char> present(memory.size() / 4096);
  EXPECT_EQ(mincore(memory.data(), memory.size(), present.data()), 0);
  return static_cast<uint64_t>(std::ranges::count_if(present, [](unsigned char page) { return (page & 1) != 0; }));
}

bool can_touch() {
  const auto memory = MemoryRegion::allocate(kMiB);
  return memory && touch_pages(memory->span());
}

TEST(PagesAhead, AreThereAndAsTheyWere) {
  if (!can_touch()) {
    GTEST_SKIP() << "this kernel cannot provide pages ahead (Linux 5.14)";
  }
  auto memory = MemoryRegion::allocate(PagesAhead::kLeast);
  ASSERT_TRUE(memory);
  memory->data()[12345] = std::byte{7};
  const uint64_t all = memory->size() / 4096;
  ASSERT_LT(present_pages(memory->span()), all);
  {
    const PagesAhead ahead(memory->span());
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (present_pages(memory->span()) < all && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  EXPECT_EQ(present_pages(memory->span()), all);
  EXPECT_EQ(memory->data()[12345], std::byte{7});
  EXPECT_EQ(memory->data()[54321], std::byte{0});
}

TEST(PagesAhead, LeavesLittleMemoryAlone) {
  auto memory = MemoryRegion::allocate(kMiB);
  ASSERT_TRUE(memory);
  { const PagesAhead ahead(memory->span()); }
  EXPECT_EQ(present_pages(memory->span()), 0U);
}

}  // namespace
}  // namespace hypura
