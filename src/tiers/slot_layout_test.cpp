#include "tiers/slot_layout.h"

#include <gtest/gtest.h>

#include "storage/reader.h"
#include "tiers/direct_place.h"
#include "tiers/layers_for_test.h"

namespace hypura {
namespace {

TEST(SlotLayout, PlacesOfALayerDoNotOverlap) {
  const ExpertsOnDisk disk(3, 4);
  const SlotLayout layout(disk.layers());
  for (uint32_t layer = 0; layer < 3; ++layer) {
    const auto places = layout.places(layer);
    ASSERT_EQ(places.size(), 2U);
    uint64_t end = 0;
    for (size_t part = 0; part < places.size(); ++part) {
      EXPECT_EQ(places[part].begin % kDirectAlignment, 0U);
      EXPECT_GE(places[part].begin, end);
      end = places[part].begin + place_capacity(disk.layers()[layer].parts[part].slice_bytes);
    }
    EXPECT_LE(end, layout.stride());
  }
}

TEST(SlotLayout, SlicesOfWholeBlocksAreUsedWhereTheyAreRead) {
  const ExpertsOnDisk disk(2, 4);
  const SlotLayout layout(disk.layers());
  for (uint32_t layer = 0; layer < 2; ++layer) {
    const SlotPlace& whole = layout.places(layer)[0];
    EXPECT_FALSE(whole.needs_realign);
    for (int64_t expert = 0; expert < 4; ++expert) {
      EXPECT_EQ(data_offset(disk.layers()[layer].parts[0].tensor->expert_extent(expert)), whole.data_offset);
    }
    EXPECT_TRUE(layout.places(layer)[1].needs_realign);
  }
}

TEST(SlotLayout, ASlotIsAsLargeAsTheLargestLayerNeeds) {
  const ExpertsOnDisk disk(2, 4);
  std::vector<ExpertLayer> layers = disk.layers();
  layers[1].parts.pop_back();
  EXPECT_EQ(SlotLayout(layers).stride(), SlotLayout(disk.layers()).stride());
  layers[0].parts.pop_back();
  EXPECT_EQ(SlotLayout(layers).stride(), place_capacity(ExpertsOnDisk::kWholeBlocks));
}

// Wherever in a block they begin.
TEST(DirectPlace, HoldsTheBlocksThatADirectReadMoves) {
  for (const uint64_t bytes : {1, 4095, 4096, 4097, 100000}) {
    for (const uint64_t offset : {0, 1, 100, 4095}) {
      const uint64_t blocks = round_up(offset + bytes, kDirectAlignment);
      EXPECT_GE(place_capacity(bytes), blocks) << bytes << " bytes at " << offset;
    }
  }
}

}  // namespace
}  // namespace hypura
