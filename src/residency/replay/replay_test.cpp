#include "residency/replay/replay.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

#include "residency/expert_cache.h"
#include "residency/replay/trace_for_test.h"
#include "residency/replay/visits.h"

namespace hypura {
namespace {

// A layer that is asked for one expert a pass.
RoutingTrace one_by_one(std::initializer_list<uint16_t> experts) {
  RoutingTrace trace;
  trace.layers = trace.used = 1;
  trace.experts = 8;
  trace.chosen = experts;
  trace.passes.assign(experts.size(), {1, true, 0});
  return trace;
}

uint64_t hits(const RoutingTrace& trace, Policy policy, uint32_t kept) {
  const ReplayResult result = replay(trace, policy, kept + 1, 1);
  EXPECT_EQ(result.lookups, trace.passes.size());
  return result.hits;
}

TEST(Replay, PoliciesDoWhatTheirNamesSay) {
  // With two slots: LRU loses 0 to 3, LFU keeps it; Belady keeps 1 and 2 for their next use.
  const RoutingTrace trace = one_by_one({0, 0, 0, 1, 2, 3, 0, 1, 2});
  EXPECT_EQ(hits(trace, Policy::kLru, 2), 2U);
  EXPECT_EQ(hits(trace, Policy::kLfu, 2), 3U);
  EXPECT_EQ(hits(trace, Policy::kBelady, 2), 4U);
  EXPECT_EQ(hits(trace, Policy::kBelady, 3), 5U);
  EXPECT_EQ(hits(trace, Policy::kLive, 0), 0U);
  EXPECT_EQ(hits(trace, Policy::kBelady, 0), 0U);
}

TEST(Replay, PromptsMoveTheCacheAndAreNotCounted) {
  RoutingTrace trace = one_by_one({5, 5, 5, 6});
  trace.passes = {{3, false, 0}, {1, true, 0}};
  trace.chosen = {5, 5, 6, 6};
  for (Policy policy : {Policy::kLru, Policy::kLfu, Policy::kLive, Policy::kBelady}) {
    const ReplayResult result = replay(trace, policy, 4, 1);
    EXPECT_EQ(result.lookups, 1U) << result.policy;
    EXPECT_EQ(result.hits, 1U) << result.policy;
  }
  // What only a prompt uses again is not worth a place: with one slot, 6 is kept.
  trace.passes = {{1, true, 0}, {1, true, 0}, {1, false, 0}, {1, true, 0}};
  trace.chosen = {6, 5, 5, 6};
  EXPECT_EQ(replay(trace, Policy::kBelady, 2, 1).hits, 1U);
}

TEST(Replay, ASharedPoolLendsOneLayersRoomToAnother) {
  RoutingTrace trace;
  trace.layers = 2;
  trace.experts = 8;
  trace.used = 1;
  for (uint16_t i = 0; i < 30; ++i) {
    trace.passes.push_back({1, true, 0});
    trace.chosen.push_back(static_cast<uint16_t>(i % 3));  // the first layer wants three experts, the other one
    trace.chosen.push_back(7);
  }
  EXPECT_EQ(replay(trace, Policy::kLru, 5, 1, Pool::kLayers).hits, 29U);
  EXPECT_EQ(replay(trace, Policy::kLru, 5, 1, Pool::kShared).hits, 27U + 29U);
}

TEST(Replay, NothingBeatsBelady) {
  std::mt19937 engine(11);
  for (int round = 0; round < 120; ++round) {
    const auto layers = static_cast<uint32_t>(1 + engine() % 4);
    const auto experts = static_cast<uint32_t>(2 + engine() % 20);
    const auto used = static_cast<uint32_t>(1 + engine() % std::min(experts, 5U));
    const RoutingTrace trace = random_trace(engine, layers, experts, used, 120);
    const auto slots = static_cast<uint32_t>(1 + engine() % (layers * experts + 3));
    const auto spare = static_cast<uint32_t>(1 + engine() % slots);
    const ReplayResult best = replay(trace, Policy::kBelady, slots, spare);
    const ReplayResult shared = replay(trace, Policy::kBelady, slots, spare, Pool::kShared);
    EXPECT_GE(shared.hits, best.hits);
    EXPECT_EQ(shared.lookups, best.lookups);
    for (Policy policy : {Policy::kLru, Policy::kLfu, Policy::kLive}) {
      const ReplayResult result = replay(trace, policy, slots, spare);
      EXPECT_EQ(result.lookups, best.lookups);
      EXPECT_GE(best.hits, result.hits) << result.policy << " with " << slots << " slots";
    }
    for (Policy policy : {Policy::kLru, Policy::kLfu}) {
      EXPECT_GE(shared.hits, replay(trace, policy, slots, spare, Pool::kShared).hits);
    }
  }
}

// Most hits that any choice of what to keep gives, by trying all of them.
uint64_t most_hits(const RoutingTrace& trace, uint32_t kept, size_t pass, uint32_t held) {
  if (pass == trace.passes.size()) {
    return 0;
  }
  const uint32_t asked = 1U << trace.chosen[pass];
  const uint64_t hit = trace.passes[pass].decode && (held & asked) != 0 ? 1 : 0;
  uint64_t most = 0;
  const uint32_t all = held | asked;
  for (uint32_t keep = all;; keep = (keep - 1) & all) {
    if (static_cast<uint32_t>(__builtin_popcount(keep)) <= kept) {
      most = std::max(most, most_hits(trace, kept, pass + 1, keep));
    }
    if (keep == 0) {
      return hit + most;
    }
  }
}

TEST(Replay, BeladyIsTheOptimum) {
  std::mt19937 engine(3);
  for (int round = 0; round < 40; ++round) {
    RoutingTrace trace = one_by_one({0, 0, 0, 0, 0, 0, 0, 0, 0});
    for (size_t i = 0; i < trace.chosen.size(); ++i) {
      trace.chosen[i] = static_cast<uint16_t>(engine() % 4);
      trace.passes[i].decode = engine() % 4 != 0;
    }
    const auto kept = static_cast<uint32_t>(1 + engine() % 2);
    EXPECT_EQ(replay(trace, Policy::kBelady, kept + 1, 1).hits, most_hits(trace, kept, 0, 0));
  }
}

// The curve comes from one pass over a stack; the replay from the live cache itself.
TEST(HitCurve, IsTheLivePolicyAtEveryQuota) {
  std::mt19937 engine(5);
  for (int round = 0; round < 30; ++round) {
    const auto experts = static_cast<uint32_t>(2 + engine() % 24);
    const auto used = static_cast<uint32_t>(1 + engine() % std::min(experts, 6U));
    RoutingTrace trace = random_trace(engine, 1, experts, used, 150);
    const std::vector<double> curve = hit_curve(trace);
    ASSERT_EQ(curve.size(), experts + 1);
    for (uint32_t quota = 0; quota <= experts; ++quota) {
      EXPECT_NEAR(curve[quota], replay(trace, Policy::kLive, quota + 1, 1).hit_rate(), 1e-12) << quota;
    }
  }
}

// A cache with slots of its own for each layer, asked as a GPU asks it.
TEST(HitCurve, OfPassingSlotsIsThatOfACacheWithOwnSlots) {
  const RoutingTrace trace = stories_trace();
  const std::vector<double> curve = passing_hit_curve(trace);
  const Visits visits(trace);
  for (const uint32_t slots : {4U, 5U, 8U, 13U, 24U, 31U}) {
    ExpertCache::Config config = {trace.layers, trace.experts, 0, 0};
    config.own_slots.assign(trace.layers, slots);
    ExpertCache cache(config);
    std::vector<double> hits(trace.layers);
    std::vector<double> lookups(trace.layers);
    for (const Visit& visit : visits.all()) {
      if (visit.uses.size() > slots) {
        continue;  // it passes through otherwise, and is no decode pass
      }
      cache.begin(visit.layer, visit.choice);
      std::vector<uint32_t> missing;
      for (const Use& use : visit.uses) {
        if (!cache.lookup(visit.layer, use.expert)) {
          missing.push_back(use.expert);
        }
      }
      for (const uint32_t expert : missing) {
        ASSERT_TRUE(cache.take(visit.layer, expert));
        cache.commit(visit.layer, expert);
      }
      for (const Use& use : visit.uses) {
        cache.release(visit.layer, use.expert);
      }
      if (visit.decode) {
        lookups[visit.layer] += static_cast<double>(visit.uses.size());
        hits[visit.layer] += static_cast<double>(visit.uses.size() - missing.size());
      }
    }
    for (uint32_t layer = 0; layer < trace.layers; ++layer) {
      EXPECT_NEAR(curve[layer * (trace.experts + 1) + slots], hits[layer] / lookups[layer], 0.002)
          << slots << " slots, layer " << layer;
    }
  }
}

TEST(HitCurve, OfSeveralLayersIsTheirMean) {
  std::mt19937 engine(6);
  const RoutingTrace trace = random_trace(engine, 3, 16, 4, 400);
  const std::vector<double> curve = hit_curve(trace);
  for (uint32_t quota = 0; quota <= 16; ++quota) {
    const double mean = (curve[quota] + curve[17 + quota] + curve[34 + quota]) / 3;
    EXPECT_NEAR(mean, replay(trace, Policy::kLive, 3 * quota + 4, 4).hit_rate(), 1e-12);
  }
}

TEST(HitCurve, RisesWithTheQuotaOnRealRouting) {
  const RoutingTrace trace = stories_trace();
  const std::vector<double> curve = hit_curve(trace);
  for (uint32_t layer = 0; layer < 6; ++layer) {
    for (uint32_t quota = 1; quota <= 32; ++quota) {
      EXPECT_GE(curve[layer * 33 + quota], curve[layer * 33 + quota - 1]);
    }
    EXPECT_GT(curve[layer * 33 + 32], 0.99);  // all but the first use of each
  }
}

double mean_miss_rate(const RoutingTrace& trace, const std::vector<double>& curve, uint32_t quota) {
  double hits = 0;
  for (uint32_t layer = 0; layer < trace.layers; ++layer) {
    hits += curve[layer * (trace.experts + 1) + quota] / trace.layers;
  }
  return 1 - hits;
}

// From a stretch of 112 tokens what a run misses that goes on, within 15 %.
TEST(LastingHitCurve, OfAShortTraceIsThatOfALongOne) {
  const RoutingTrace stories = stories_trace();
  for (const RoutingTrace& trace : {stories, zipf_trace(4, 128, 8, 1200)}) {
    const size_t all = trace.passes.size();
    for (const uint32_t quota : {trace.experts / 4, trace.experts / 2, trace.experts * 3 / 4}) {
      const auto replayed = [&](const RoutingTrace& part) {
        return replay(part, Policy::kLive, trace.layers * quota + 1, 1);
      };
      const ReplayResult whole = replayed(trace);
      const ReplayResult begin = replayed(part_of(trace, 0, all / 2));
      const double missed =
          1 - static_cast<double>(whole.hits - begin.hits) / static_cast<double>(whole.lookups - begin.lookups);
      double told = 0;
      constexpr size_t kStretches = 4;
      for (size_t i = 0; i < kStretches; ++i) {
        const RoutingTrace part = part_of(trace, i * all / kStretches, 112);
        told += mean_miss_rate(part, lasting_hit_curve(part), quota) / kStretches;
      }
      EXPECT_NEAR(told / missed, 1, 0.15) << quota << " of " << trace.experts;
    }
  }
}

TEST(LastingHitCurve, EndsAtOneAndHasNoFirstUses) {
  std::mt19937 engine(7);
  const RoutingTrace trace = random_trace(engine, 2, 24, 3, 90);
  const std::vector<double> curve = lasting_hit_curve(trace);
  for (const size_t layer : {0U, 1U}) {
    EXPECT_NEAR(curve[layer * 25 + 24], 1, 1e-12);
    EXPECT_EQ(curve[layer * 25], 0);
  }
  EXPECT_TRUE(lasting_hit_curve({}).empty());
}

// How much of the way from LRU to the optimum (Belady) the live policy goes on real routing (docs/lab/experiments.md),
// with 8, 12 and 16 of 32 experts kept.
TEST(Replay, TheLivePolicyClosesAFifthOfTheGap) {
  const RoutingTrace trace = stories_trace();
  for (uint32_t each : {8U, 12U, 16U}) {
    const auto rate = [&](Policy policy) { return replay(trace, policy, 6 * each + 4, 4).hit_rate(); };
    const double lru = rate(Policy::kLru);
    const double closed = (rate(Policy::kLive) - lru) / (rate(Policy::kBelady) - lru);
    EXPECT_GE(closed, 0.2) << each;
    EXPECT_GT(rate(Policy::kLive), rate(Policy::kLfu) + 0.05) << each;
    std::printf("%u of 32: lru %.4f, lfu %.4f, live %.4f, belady %.4f: %.3f closed\n", each, lru, rate(Policy::kLfu),
                rate(Policy::kLive), rate(Policy::kBelady), closed);
  }
}

TEST(Replay, OfNothingIsNothing) {
  EXPECT_EQ(replay({}, Policy::kLive, 10, 1).hit_rate(), 0);
  EXPECT_EQ(recorded_result({}).hit_rate(), 0);
  EXPECT_TRUE(hit_curve({}).empty());
}

}  // namespace
}  // namespace hypura
