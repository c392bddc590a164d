#include "residency/hot_set.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

using Hot = std::vector<LayerExpert>;

// Two layers of four experts, one chosen.
RoutingTrace trace_of(std::initializer_list<uint16_t> chosen) {
  RoutingTrace trace;
  trace.layers = 2;
  trace.experts = 4;
  trace.used = 1;
  trace.chosen = chosen;
  trace.passes.push_back({static_cast<uint32_t>(chosen.size() / 2), false, 0});
  return trace;
}

TEST(HotSet, IsWhatMostTokensChoseMostChosenFirst) {
  const RoutingTrace trace = trace_of({1, 2, 1, 2, 1, 3, 0, 3, 0, 2});
  EXPECT_EQ(hot_set(trace, {4, 4}), (Hot{{0, 1}, {1, 2}, {0, 0}, {1, 3}}));
}

TEST(HotSet, KeepsToTheQuotas) {
  const RoutingTrace trace = trace_of({1, 2, 1, 2, 1, 3, 0, 3, 0, 2});
  EXPECT_EQ(hot_set(trace, {1, 2}), (Hot{{0, 1}, {1, 2}, {1, 3}}));
  EXPECT_EQ(hot_set(trace, {0, 1}), (Hot{{1, 2}}));
  EXPECT_TRUE(hot_set(trace, {0, 0}).empty());
}

TEST(HotSet, OfEqualsTheLowerIsFirst) {
  EXPECT_EQ(hot_set(trace_of({3, 1, 2, 0}), {2, 1}), (Hot{{0, 2}, {0, 3}, {1, 0}}));
}

TEST(HotSet, LeavesOutWhatAnotherTierHas) {
  const RoutingTrace trace = trace_of({1, 2, 1, 2, 1, 3, 0, 3, 0, 2});
  EXPECT_EQ(hot_set(trace, {1, 2}, {1, 0}), (Hot{{1, 2}, {0, 0}, {1, 3}}));
  EXPECT_TRUE(hot_set(trace, {4, 4}, {4, 4}).empty());
}

TEST(HotSet, OfTokensThatPassNoLayerIsEmpty) {
  constexpr uint16_t kNone = RoutingTrace::kNone;
  EXPECT_TRUE(hot_set(trace_of({kNone, kNone}), {4, 4}).empty());
  EXPECT_TRUE(hot_set(RoutingTrace(), {}).empty());
}

}  // namespace
}  // namespace hypura
