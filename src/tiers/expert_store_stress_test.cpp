// An ExpertStore under all that happens to it, in any order.
#include <algorithm>
#include <random>
#include <set>

#include "tiers/expert_store.h"
#include "tiers/expert_store_for_test.h"

namespace hypura {
namespace {

// Passes as they come, reads that end as they like: a slot never has two owners, and what is pinned has its data until
// the end of the layer, whatever is read and evicted meanwhile.
class ExpertStoreStress : public StoreFixture, public testing::WithParamInterface<std::pair<uint32_t, uint32_t>> {
 protected:
  void end_some() {
    const std::set<ReadGroup> groups = reader.under_way();
    for (const ReadGroup group : groups) {
      if (!reader.groups()[group - 1].ended && random() % 3 == 0) {
        if (random() % 40 == 0) {
          reader.fail_group(group, {ErrorCode::kIo, "cannot read"});
        } else {
          reader.end(group);
        }
      }
    }
  }

  Experts some(uint32_t most) {
    std::set<uint32_t> experts;
    for (uint32_t i = 0; i < 1 + random() % most; ++i) {
      experts.insert(static_cast<uint32_t>(std::min(random() % kExperts, random() % kExperts)));
    }
    return {experts.begin(), experts.end()};
  }

  void expect_pinned_intact(uint32_t layer, size_t waited) {
    std::set<uint32_t> slots;
    for (size_t i = 0; i < store->leases().size(); ++i) {
      if (i < store->hits() || (i >= released && i < waited)) {
        EXPECT_TRUE(slots.insert(store->leases()[i].slot()).second);
        expect_data(layer, store->leases()[i]);
      }
    }
  }

  // Two predictions of three are right, so that they go on being read.
  void run_layer(uint32_t layer, bool decode) {
    acquire(layer, chosen, decode);
    chosen = some(decode ? 2 : 8);
    if (layer + 1 < kLayers && random() % 2 == 0) {
      if (decode) {
        predict(layer + 1, random() % 3 == 0 ? some(4) : chosen);
      } else {
        stream_ahead(layer + 1, some(6));
      }
    }
    released = store->hits();
    for (size_t done = store->hits(); done < store->leases().size();) {
      end_some();
      size_t end = done + 1;
      while (end < store->leases().size() && store->ready(end)) {
        ++end;
      }
      for (size_t i = done; i < end; ++i) {
        if (!store->wait(i)) {
          store->finish();
          return;
        }
        ++waits;
        expect_pinned_intact(layer, i + 1);
      }
      store->release_misses(end);
      released = done = end;
      if (resizes && random() % 4 == 0) {
        resize(layer);
      }
    }
    end_some();
    expect_pinned_intact(layer, store->leases().size());
    store->finish();
  }

  // To any size, back to the first one or to too few: between two batches, after a layer, before one.
  void resize(uint32_t layer) {
    const uint32_t slots =
        random() % 3 == 0 ? GetParam().first : 1 + static_cast<uint32_t>(random() % GetParam().first);
    const uint32_t spare = slots == kLayers * kExperts ? 0 : 1 + static_cast<uint32_t>(random() % slots);
    const size_t pinned = store->hits();
    const bool done = store->resize({slots, spare, {}});
    EXPECT_EQ(done, pinned == 0 || pinned < slots);
    resized += done ? 1 : 0;
    for (uint32_t expert = 0; done && expert < kExperts * kLayers; ++expert) {
      EXPECT_LT(store->slot_of(expert / kExperts, expert % kExperts).value_or(0), slots);
    }
    expect_pinned_intact(layer, released);
  }

  bool resizes = false;
  uint64_t resized = 0;
  Experts chosen = {0};  // by the layer that comes next
  size_t released = 0;
  uint64_t waits = 0;
  std::mt19937 random{11};
};

TEST_P(ExpertStoreStress, SlotsHaveOneOwnerAndPinnedOnesKeepTheirData) {
  make(GetParam().first, GetParam().second);
  for (int pass = 0; pass < 400; ++pass) {
    reader.issue_at_once = random() % 2 == 0;
    for (uint32_t layer = 0; layer < kLayers && !HasFatalFailure(); ++layer) {
      run_layer(layer, pass % 4 != 0);
    }
  }
  EXPECT_GT(waits, GetParam().second == 0 ? 10U : 400U);
  if (GetParam().second > 2) {
    EXPECT_GT(stats.prefetches_used, 50U);
    EXPECT_GT(stats.prefetches, stats.prefetches_used) << "some were wrong";
  }
  store.reset();
  EXPECT_TRUE(reader.under_way().empty());
  EXPECT_FALSE(reader.misplaced);
}

TEST_P(ExpertStoreStress, AtAnySizeWheneverItChanges) {
  make(GetParam().first, GetParam().second);
  resizes = true;
  for (int pass = 0; pass < 400; ++pass) {
    reader.issue_at_once = random() % 2 == 0;
    for (uint32_t layer = 0; layer < kLayers && !HasFatalFailure(); ++layer) {
      run_layer(layer, pass % 4 != 0);
      if (random() % 4 == 0) {
        resize(layer);
      }
    }
  }
  EXPECT_GT(waits, 400U);
  EXPECT_GT(resized, 300U);
  store.reset();
  EXPECT_TRUE(reader.under_way().empty());
  EXPECT_FALSE(reader.misplaced);
}

INSTANTIATE_TEST_SUITE_P(Sizes, ExpertStoreStress,
                         testing::Values(std::pair(1U, 1U), std::pair(4U, 2U), std::pair(9U, 3U), std::pair(12U, 6U),
                                         std::pair(18U, 0U)));

}  // namespace
}  // namespace hypura
