#include "residency/weight_ring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace hypura {
namespace {

// Drives a ring as the executor does, checking that no two held places overlap.
class Driver {
 public:
  Driver(std::vector<uint64_t> sizes, uint64_t capacity) : sizes_(sizes), ring_(std::move(sizes), capacity) { fill(); }

  // Uses `item`; false when the ring did not hold it.
  bool use(uint32_t item) {
    const bool held = ring_.holds(item);
    if (!held) {
      held_.clear();
      ring_.restart_at(item);
      fill();
    }
    EXPECT_TRUE(ring_.holds(item));
    ring_.retire(item);
    held_.erase(item);
    fill();
    return held;
  }

  size_t held() const { return held_.size(); }

 private:
  void fill() {
    while (const auto fetch = ring_.next_fetch()) {
      for (const auto& [item, offset] : held_) {
        EXPECT_TRUE(fetch->offset + sizes_[fetch->item] <= offset || offset + sizes_[item] <= fetch->offset)
            << "items " << fetch->item << " and " << item << " overlap";
      }
      EXPECT_LE(fetch->offset + sizes_[fetch->item], ring_.capacity());
      EXPECT_TRUE(held_.emplace(fetch->item, fetch->offset).second);
    }
  }

  std::vector<uint64_t> sizes_;
  WeightRing ring_;
  std::map<uint32_t, uint64_t> held_;
};

TEST(WeightRing, FetchesAheadInOrderAsRoomAllows) {
  WeightRing ring({10, 20, 10, 30}, 45);
  EXPECT_EQ(ring.next_fetch()->item, 0U);
  EXPECT_EQ(ring.next_fetch()->item, 1U);
  EXPECT_EQ(ring.next_fetch()->item, 2U);
  EXPECT_FALSE(ring.next_fetch());  // 30 do not fit
  ring.retire(0);
  EXPECT_FALSE(ring.next_fetch());
  ring.retire(1);
  const auto wrapped = ring.next_fetch();
  ASSERT_TRUE(wrapped);
  EXPECT_EQ(wrapped->item, 3U);
  EXPECT_EQ(wrapped->offset, 0U);  // wraps to the place of 0 and 1
}

TEST(WeightRing, AWholeModelThatFitsIsHeldOnce) {
  Driver driver({10, 10, 10}, 1000);
  for (int pass = 0; pass < 3; ++pass) {
    for (uint32_t item : {0U, 1U, 2U}) {
      EXPECT_TRUE(driver.use(item));
    }
  }
}

TEST(WeightRing, LearnsTheOrderOfUse) {
  Driver driver({10, 10, 10, 10, 10}, 25);
  const std::vector<uint32_t> order = {1, 0, 2, 4, 3};
  int late_misses = 0;
  for (int pass = 0; pass < 5; ++pass) {
    for (uint32_t item : order) {
      late_misses += driver.use(item) || pass < 2 ? 0 : 1;
    }
  }
  EXPECT_EQ(late_misses, 0);
}

TEST(WeightRing, UsesWhatItHoldsInAnyOrder) {
  Driver driver({10, 10, 10, 10, 10, 10}, 40);
  for (uint32_t item : {1U, 0U, 3U, 2U, 4U, 5U}) {
    EXPECT_TRUE(driver.use(item)) << item;
  }
}

TEST(WeightRing, LearnsThatAnItemIsNotUsed) {
  Driver driver({10, 10, 10, 10}, 25);
  int late_misses = 0;
  for (int pass = 0; pass < 6; ++pass) {
    for (uint32_t item : {0U, 1U, 3U}) {
      late_misses += driver.use(item) || pass < 3 ? 0 : 1;
    }
  }
  EXPECT_EQ(late_misses, 0);
  driver.use(2);  // and it may come back
  driver.use(3);
}

TEST(WeightRing, PlacesNeverOverlapUnderRandomUse) {
  std::mt19937 random(11);
  for (int round = 0; round < 200; ++round) {
    std::vector<uint64_t> sizes(1 + random() % 12);
    for (uint64_t& size : sizes) {
      size = 1 + random() % 100;
    }
    const uint64_t largest = *std::max_element(sizes.begin(), sizes.end());
    Driver driver(sizes, largest + random() % 300);
    for (int use = 0; use < 300; ++use) {
      const bool wild = random() % 10 == 0;
      driver.use(static_cast<uint32_t>(wild ? random() % sizes.size() : static_cast<size_t>(use) % sizes.size()));
    }
  }
}

TEST(WeightRing, GoesOnWithOtherItemsBehindTheLastThatWasUsed) {
  WeightRing ring({10, 10, 10, 10, 10, 10}, 20, {true, false, true, false, true, false});
  const auto fetched = [&] {
    std::vector<uint32_t> items;
    while (const auto fetch = ring.next_fetch()) {
      items.push_back(fetch->item);
    }
    return items;
  };
  using Items = std::vector<uint32_t>;
  EXPECT_EQ(fetched(), (Items{0, 2}));
  ring.retire(0);
  ring.change(30, {true, true, true, true, true, false});  // two more, and a larger ring
  EXPECT_EQ(fetched(), (Items{1, 2, 3}));
  for (const uint32_t item : {1U, 2U, 3U}) {
    ring.retire(item);
  }
  EXPECT_EQ(fetched(), (Items{4, 0, 1}));
  ring.retire(4);
  ring.retire(0);  // the next pass has begun; the order is what it was, though the last one did not use all
  EXPECT_EQ(fetched(), (Items{2, 3}));
  ring.retire(1);
  ring.leave_out(1);
  EXPECT_EQ(fetched(), (Items{4}));
  for (const uint32_t item : {2U, 3U, 4U}) {
    ring.retire(item);
  }
  EXPECT_EQ(fetched(), (Items{0, 2, 3}));
  for (const uint32_t item : {0U, 2U, 3U}) {
    ring.retire(item);
    ring.leave_out(item);
  }
  EXPECT_EQ(fetched(), (Items{4}));
  ring.retire(4);
  ring.leave_out(4);
  EXPECT_TRUE(ring.empty());
  EXPECT_FALSE(ring.next_fetch());
}

}  // namespace
}  // namespace hypura
