// A store below another tier: what that gives up comes down, and what it has goes first.
#include <random>
#include <set>

#include "tiers/expert_store_for_test.h"

namespace hypura {
namespace {

class LowerStore : public StoreFixture {
 protected:
  // As the copy from the tier above does.
  void fill(uint32_t slot, uint32_t layer, uint32_t expert) {
    const std::vector<ExpertPart>& parts = disk.layers()[layer].parts;
    for (uint32_t part = 0; part < parts.size(); ++part) {
      const Extent extent = parts[part].tensor->expert_extent(expert);
      for (uint64_t i = 0; i < extent.length; ++i) {
        store->view(layer, part).at(slot)[i] = disk_byte(extent.file, extent.offset + i);
      }
    }
  }
};

TEST_F(LowerStore, WhatComesDownIsThereOnceItHasLanded) {
  make(7, 1);  // two of each layer
  use(0, {1, 2});
  use(0, {1, 3});  // 3 in the place of 2, or not kept: as it is worth
  ASSERT_FALSE(store->resident(0, 0));
  store->raised(0, 1);
  const auto slot = store->lower(0, 0);
  ASSERT_TRUE(slot);
  EXPECT_EQ(stats.lowered, 1U);
  EXPECT_FALSE(store->resident(0, 0));
  fill(*slot, 0, 0);
  store->landed();
  EXPECT_TRUE(store->resident(0, 0));
  EXPECT_FALSE(store->resident(0, 1)) << "what is above went first";
  const size_t reads = reader.groups().size();
  use(0, {0});
  EXPECT_EQ(reader.groups().size(), reads) << "nothing was read for it";
}

TEST_F(LowerStore, NothingComesDownThatIsHere) {
  make(7, 1);
  use(0, {1, 2});
  use(0, {1});
  store->raised(0, 1);
  store->raised(0, 5);  // which is not here: nobody's business
  EXPECT_FALSE(store->lower(0, 1));
  use(0, {3});
  EXPECT_TRUE(store->resident(0, 1)) << "it is not above any more, so it does not go first";
  EXPECT_EQ(stats.lowered, 0U);
}

TEST_F(LowerStore, WhereAllHaveSlotsWhatIsNotThereComesDownOnce) {
  make(kLayers * kExperts, 0);
  use(0, {2});
  EXPECT_FALSE(store->lower(0, 2)) << "it is there";
  EXPECT_TRUE(store->lower(0, 1));
  store->landed();
  EXPECT_FALSE(store->lower(0, 1));
  EXPECT_EQ(stats.lowered, 1U);
}

TEST_F(LowerStore, AStoreMayGoBeforeWhatComesDownHasLanded) {
  make(7, 1);
  use(0, {1, 2});
  store->raised(0, 1);
  ASSERT_TRUE(store->lower(0, 0));
  store.reset();
}

// Slots above, each pass's choice; then both tiers together hold as many as they have slots for.
TEST_F(LowerStore, TwoTiersHoldEachExpertOnce) {
  constexpr uint32_t kAbove = 2;
  make(kLayers * 2 + 3, 3);
  std::mt19937 random(5);
  std::vector<Experts> above(kLayers);
  size_t together = 0;
  size_t visits = 0;
  for (int pass = 0; pass < 300 && !HasFatalFailure(); ++pass) {
    for (uint32_t layer = 0; layer < kLayers; ++layer) {
      const auto wanted = static_cast<uint32_t>(random() % kExperts);
      Experts& held = above[layer];
      if (std::ranges::find(held, wanted) != held.end()) {
        continue;
      }
      const std::vector<uint16_t> chosen = {static_cast<uint16_t>(wanted)};
      store->acquire(layer, {chosen, 1, true}, Experts{wanted});
      store->raised(layer, wanted);  // if it is here
      std::optional<uint32_t> slot;
      if (held.size() == kAbove) {
        slot = store->lower(layer, held.front());
        if (slot) {
          fill(*slot, layer, held.front());
        }
        held.erase(held.begin());
      }
      ASSERT_TRUE(store->wait(0));
      expect_data(layer, store->leases()[0]);
      store->raised(layer, wanted);
      held.push_back(wanted);
      store->finish();
      store->landed();
      std::set<uint32_t> all(held.begin(), held.end());
      for (uint32_t expert = 0; expert < kExperts; ++expert) {
        if (store->resident(layer, expert)) {
          all.insert(expert);
        }
      }
      if (pass >= 100) {
        together += all.size();
        ++visits;
      }
    }
  }
  EXPECT_GT(stats.lowered, 50U);
  EXPECT_GT(static_cast<double>(together), 3.9 * static_cast<double>(visits)) << "2 above and 2 here";
}

}  // namespace
}  // namespace hypura
