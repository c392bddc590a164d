// Beginning with the experts that earlier runs used most.
#include "tiers/expert_store_for_test.h"

namespace hypura {
namespace {

class WarmStore : public StoreFixture {
 protected:
  // Tokens of an earlier run, of which each chose two experts in each layer.
  void recall(const std::vector<std::vector<uint16_t>>& tokens) {
    RoutingTrace trace;
    trace.layers = kLayers;
    trace.experts = kExperts;
    trace.used = 2;
    for (const std::vector<uint16_t>& chosen : tokens) {
      trace.passes.push_back({1, true, 0});
      trace.chosen.insert(trace.chosen.end(), chosen.begin(), chosen.end());
    }
    store->recall(trace);
  }

  // Layer 0 likes 4, layer 1 likes 3, layer 2 likes 5.
  void recall_favourites() { recall({{4, 0, 3, 0, 5, 0}, {4, 1, 3, 1, 5, 1}, {4, 0, 3, 2, 5, 1}}); }

  uint64_t expert_bytes() const { return disk.layers()[0].expert_bytes(); }
};

TEST_F(WarmStore, ReadsWhatWasUsedMostUpToTheQuotas) {
  make(5, 2, {1, 1, 1});
  recall_favourites();
  EXPECT_TRUE(store->warm());
  EXPECT_EQ(reader.under_way().size(), 3U);
  EXPECT_EQ(reader.groups()[0].priority, Priority::kPrefetch);
  EXPECT_EQ(stats.warmed, 0U);
  reader.end_all();
  EXPECT_FALSE(store->warm()) << "all is there";
  EXPECT_EQ(stats.warmed, 3U);
  EXPECT_EQ(stats.warm_bytes, 3 * expert_bytes());
  EXPECT_TRUE(store->resident(0, 4) && store->resident(1, 3) && store->resident(2, 5));
  acquire(0, {4});
  EXPECT_EQ(store->hits(), 1U);
  use_all(0);
}

TEST_F(WarmStore, NothingToRecallIsNothingToDo) {
  make(5, 2);
  EXPECT_FALSE(store->warm());
  recall({});
  EXPECT_FALSE(store->warm());
  EXPECT_TRUE(reader.groups().empty());
}

TEST_F(WarmStore, TheFirstPassInterruptsIt) {
  make(5, 2, {1, 1, 1});
  recall_favourites();
  ASSERT_TRUE(store->warm());
  reader.end(1);  // of layer 0
  acquire(1, {3});
  EXPECT_EQ(stats.warmed, 1U) << "what had arrived is there";
  EXPECT_TRUE(store->resident(0, 4));
  EXPECT_EQ(store->hits(), 0U);
  EXPECT_EQ(reader.groups().size(), 3U) << "what is under way is not read twice";
  EXPECT_TRUE(reader.groups()[2].cancelled) << "what the pass does not want is not waited for";
  use_all(1);
  EXPECT_FALSE(store->warm());
  EXPECT_EQ(stats.warmed, 1U);
  use(2, {5});
}

TEST_F(WarmStore, AReadThatFailsEndsIt) {
  make(5, 2, {1, 1, 1});
  recall_favourites();
  ASSERT_TRUE(store->warm());
  reader.fail_group(2, {ErrorCode::kIo, "cannot read"});
  EXPECT_TRUE(store->warm()) << "the others are under way";
  reader.end_all();
  EXPECT_FALSE(store->warm());
  EXPECT_EQ(stats.warmed, 2U);
  EXPECT_FALSE(store->resident(1, 3));
  use(1, {3});
}

TEST_F(WarmStore, NoReadOutlivesIt) {
  make(5, 2, {1, 1, 1});
  recall_favourites();
  ASSERT_TRUE(store->warm());
  reader.end(2);
  store.reset();
  EXPECT_TRUE(reader.under_way().empty());
}

// What was recalled is worth keeping, though nothing of it was looked up here.
TEST_F(WarmStore, TheCacheLearnsFromIt) {
  make(3, 2, {1, 0, 0});
  recall_favourites();
  use(0, {4});
  use(0, {3});
  EXPECT_TRUE(store->resident(0, 4));
}

}  // namespace
}  // namespace hypura
