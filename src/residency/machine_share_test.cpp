#include "residency/machine_share.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

#include "residency/expert_cache.h"

namespace hypura {
namespace {

constexpr uint32_t kExperts = 16;
const MachineSpeed kAlike(0, 1, 0.01);  // a read takes a hundred times as long as a row

std::vector<std::byte> map_of(std::initializer_list<uint32_t> experts) {
  std::vector<std::byte> map(kExperts / 8);
  for (const uint32_t expert : experts) {
    map[expert / 8] |= std::byte{1} << (expert % 8);
  }
  return map;
}

std::vector<uint32_t> divided(MachineShare& share, const std::vector<WantedExpert>& wanted) {
  const auto who = share.divide(0, wanted);
  return {who.begin(), who.end()};
}

TEST(MachineShare, AloneThisMachineComputesAll) {
  MachineShare share(1, kExperts, 2, kAlike);
  EXPECT_FALSE(share.any_joined());
  EXPECT_EQ(divided(share, {{1, 1, true}, {2, 1, false}}), (std::vector<uint32_t>{0, 0}));
  EXPECT_EQ(share.load(MachineShare::kHere), (MachineLoad{2, 1}));
}

TEST(MachineShare, AWorkerWhoseMemoryIsNotKnownIsGivenNothing) {
  MachineShare share(2, kExperts, 1, kAlike);
  share.join(0, kAlike);
  share.set_map(0, 1, map_of({1}));
  EXPECT_FALSE(share.knows(0, 0));
  EXPECT_EQ(divided(share, {{1, 1, false}, {2, 1, false}}), (std::vector<uint32_t>{0, 0}));
}

TEST(MachineShare, WhoHasAnExpertComputesIt) {
  MachineShare share(1, kExperts, 2, kAlike);
  share.join(0, kAlike);
  share.join(1, kAlike);
  share.set_map(0, 0, map_of({1, 2}));
  share.set_map(1, 0, map_of({3, 15}));
  EXPECT_EQ(divided(share, {{1, 1, false}, {2, 1, false}, {3, 1, false}, {4, 1, true}, {15, 1, false}}),
            (std::vector<uint32_t>{1, 1, 2, 0, 2}));
  EXPECT_EQ(share.load(1), (MachineLoad{2, 0}));
}

TEST(MachineShare, OfThoseThatHaveItTheLeastBusy) {
  MachineShare share(1, kExperts, 1, kAlike);
  share.join(0, kAlike);
  share.set_map(0, 0, map_of({1, 2, 3, 4}));
  const auto who = divided(share, {{1, 1, true}, {2, 1, true}, {3, 1, true}, {4, 1, true}});
  EXPECT_EQ(std::ranges::count(who, 0U), 2);
  EXPECT_EQ(std::ranges::count(who, 1U), 2);
}

TEST(MachineShare, WhatNobodyHasIsReadByAllAtOnce) {
  MachineShare share(1, kExperts, 2, kAlike);
  share.join(0, kAlike);
  share.join(1, MachineSpeed(0, 0.5, 0.01));  // reads twice as fast
  share.set_map(0, 0, map_of({}));
  share.set_map(1, 0, map_of({}));
  std::vector<WantedExpert> wanted;
  for (uint32_t expert = 0; expert < 8; ++expert) {
    wanted.push_back({expert, 1, false});
  }
  const auto who = divided(share, wanted);
  EXPECT_EQ(std::ranges::count(who, 0U), 2);
  EXPECT_EQ(std::ranges::count(who, 1U), 2);
  EXPECT_EQ(std::ranges::count(who, 2U), 4);
}

TEST(MachineShare, AWorkerThatDoesNotPayIsNotAsked) {
  MachineShare share(1, kExperts, 1, kAlike);
  share.join(0, MachineSpeed(3, 1, 0.01));  // three reads away
  share.set_map(0, 0, map_of({1, 2}));
  EXPECT_EQ(divided(share, {{1, 1, false}, {2, 1, false}}), (std::vector<uint32_t>{0, 0}));
  EXPECT_EQ(share.load(MachineShare::kHere), (MachineLoad{2, 2}));
  EXPECT_EQ(share.load(1), MachineLoad());
  EXPECT_EQ(divided(share, {{1, 1, false}, {2, 1, false}, {3, 1, false}, {4, 1, false}, {5, 1, false}}),
            (std::vector<uint32_t>{1, 1, 0, 0, 0}));
}

// It is ten times as far away as it would have to be: trying it costs less than a hundredth.
TEST(MachineShare, AWorkerThatDidNotPayIsTriedAgainNowAndThen) {
  MachineShare share(1, kExperts, 1, kAlike);
  share.join(0, MachineSpeed(0.001, 1, 0.01));  // or so it seemed
  share.set_map(0, 0, map_of({}));
  const std::vector<WantedExpert> wanted = {{1, 1, false}, {2, 1, false}};
  constexpr int kTurns = 100000;
  int asked = 0;
  for (int i = 0; i < kTurns; ++i) {
    const auto who = divided(share, wanted);
    if (std::ranges::count(who, 1U) > 0) {
      share.speed(1).note_visit(10);
      asked += i >= kTurns / 2 ? 1 : 0;
    }
  }
  EXPECT_GT(asked, 0);
  const double alone = kAlike.seconds({2, 2});
  EXPECT_LT(asked * 10 / (kTurns / 2 * alone), 0.01);
}

// Of prompts.
TEST(MachineShare, APromptsExpertsAreReadByAllEvenThoughOneHasThem) {
  const PromptSpeed alike({0, 0, 1, 0.1});
  MachineShare share(2, kExperts, 1, kAlike, alike);
  share.join(0, kAlike, alike);
  share.set_map(0, 1, map_of({}));
  std::vector<WantedExpert> wanted;
  for (uint32_t expert = 0; expert < 12; ++expert) {
    wanted.push_back({expert, 20, true});  // all here: two seconds each
  }
  const auto who = share.divide(1, wanted, SharedWork::kPrompt);
  EXPECT_EQ(std::ranges::count(who, 1U), 6);
  EXPECT_EQ(share.load(1), (MachineLoad{120, 6}));
  EXPECT_DOUBLE_EQ(share.expected_seconds(1, SharedWork::kPrompt), 12);
}

TEST(MachineShare, WhoReadsAheadComputes) {
  const PromptSpeed alike({0, 0, 1, 0.01});
  MachineShare share(2, kExperts, 1, kAlike, alike);
  share.join(0, kAlike, alike);
  share.set_map(0, 0, map_of({}));
  const std::vector<WantedExpert> likely = {{1, 1, false}, {2, 1, false}, {3, 1, false}, {4, 1, false}};
  EXPECT_TRUE(share.divide_ahead(1, likely).empty()) << "of which its map is not known";
  share.set_map(0, 1, map_of({}));
  EXPECT_EQ(divided(share, {{7, 1, false}, {8, 1, false}}), (std::vector<uint32_t>{0, 1}));
  const auto ahead = share.divide_ahead(1, likely);
  EXPECT_EQ((std::vector<uint32_t>{ahead.begin(), ahead.end()}), (std::vector<uint32_t>{0, 1, 0, 1}));
  EXPECT_EQ(share.load(1), (MachineLoad{1, 1})) << "of the layer that is in work";
  const auto who = share.divide(1, {{{2, 1, false}, {4, 1, false}, {5, 1, false}, {6, 1, false}}}, SharedWork::kPrompt);
  EXPECT_EQ((std::vector<uint32_t>{who.begin(), who.end()}), (std::vector<uint32_t>{1, 1, 0, 0}));
}

TEST(MachineShare, APromptWhoseRowsAreLongUnderWayStaysHere) {
  MachineShare share(1, kExperts, 1, kAlike, PromptSpeed({0, 0, 1, 0.01}));
  share.join(0, kAlike, PromptSpeed({0, 10, 1, 0.01}));
  share.set_map(0, 0, map_of({1, 2}));
  const std::vector<WantedExpert> wanted = {{1, 1, false}, {2, 1, false}};
  const auto who = share.divide(0, wanted, SharedWork::kPrompt);
  EXPECT_EQ((std::vector<uint32_t>{who.begin(), who.end()}), (std::vector<uint32_t>{0, 0}));
}

TEST(MachineShare, WhoLeavesIsForgotten) {
  MachineShare share(1, kExperts, 1, kAlike);
  share.join(0, kAlike);
  share.set_map(0, 0, map_of({1}));
  EXPECT_TRUE(share.any_has(0, 1));
  share.leave(0);
  EXPECT_FALSE(share.any_has(0, 1));
  share.join(0, kAlike);
  EXPECT_FALSE(share.knows(0, 0));
}

// Its way looks long when it joins again, and what it takes to be asked is learned only where it is asked.
TEST(MachineShare, AWorkerThatIsBackIsAskedThoughItsWayLooksLong) {
  MachineShare share(1, kExperts, 1, kAlike);
  const std::vector<WantedExpert> wanted = {{1, 1, false}, {2, 1, false}};
  share.join(0, MachineSpeed(0.001, 1, 0.01));
  share.leave(0);
  share.join(0, MachineSpeed(3, 1, 0.01));
  share.set_map(0, 0, map_of({1, 2}));
  EXPECT_EQ(divided(share, wanted), (std::vector<uint32_t>{1, 1}));
}

// A model of layers whose tokens choose unevenly, on machines with few slots each: how long its layers take.
class Simulation {
 public:
  Simulation(size_t workers, uint32_t slots_of_layer) : share_(kLayers, kMany, workers, kAlike) {
    for (size_t i = 0; i <= workers; ++i) {
      caches_.emplace_back(ExpertCache::Config{kLayers, kMany, kLayers * slots_of_layer + kUsed, kUsed});
    }
    for (size_t i = 0; i < workers; ++i) {
      share_.join(i, MachineSpeed(0.05, kAlike.miss(), kAlike.row()));
      for (uint32_t layer = 0; layer < kLayers; ++layer) {
        tell(i, layer);
      }
    }
  }

  // Of that many tokens, each of which chooses kUsed experts of each layer.
  double seconds(uint32_t tokens) {
    std::mt19937 generator(5);
    std::geometric_distribution<uint32_t> likely(0.06);
    double all = 0;
    for (uint32_t token = 0; token < tokens; ++token) {
      for (uint32_t layer = 0; layer < kLayers; ++layer) {
        std::set<uint16_t> chosen;
        while (chosen.size() < kUsed) {
          chosen.insert(static_cast<uint16_t>((likely(generator) + 11 * layer) % kMany));
        }
        all += compute(layer, {chosen.begin(), chosen.end()});
      }
    }
    return all;
  }

 private:
  static constexpr uint32_t kLayers = 4;
  static constexpr uint32_t kMany = 64;
  static constexpr uint32_t kUsed = 8;

  // The layer is done when the last machine is.
  double compute(uint32_t layer, const std::vector<uint16_t>& chosen) {
    std::vector<WantedExpert> wanted;
    for (const uint16_t expert : chosen) {
      wanted.push_back({expert, 1, caches_[0].resident(layer, expert)});
    }
    const auto who = share_.divide(layer, wanted);
    double last = 0;
    for (uint32_t machine = 0; machine < caches_.size(); ++machine) {
      std::vector<uint16_t> its;
      for (size_t i = 0; i < wanted.size(); ++i) {
        if (who[i] == machine) {
          its.push_back(chosen[i]);
        }
      }
      const uint32_t misses = visit(machine, layer, its);
      EXPECT_EQ(misses, share_.load(machine).misses) << "the map was not what the worker had";
      last = std::max(last, share_.speed(machine).seconds({static_cast<uint32_t>(its.size()), misses}));
      if (machine > 0) {
        tell(machine - 1, layer);
      }
    }
    return last;
  }

  // A machine computes these experts; gives how many it had to read.
  uint32_t visit(uint32_t machine, uint32_t layer, const std::vector<uint16_t>& experts) {
    ExpertCache& cache = caches_[machine];
    if (experts.empty()) {
      return 0;
    }
    cache.begin(layer, {experts, static_cast<uint32_t>(experts.size()), true});
    std::vector<uint16_t> missing;
    for (const uint16_t expert : experts) {
      if (!cache.lookup(layer, expert)) {
        missing.push_back(expert);
      }
    }
    for (const uint16_t expert : missing) {
      EXPECT_TRUE(cache.take(layer, expert));
      cache.commit(layer, expert);
    }
    for (const uint16_t expert : experts) {
      cache.release(layer, expert);
    }
    return static_cast<uint32_t>(missing.size());
  }

  void tell(size_t worker, uint32_t layer) {
    std::vector<std::byte> map(kMany / 8);
    for (uint32_t expert = 0; expert < kMany; ++expert) {
      if (caches_[worker + 1].resident(layer, expert)) {
        map[expert / 8] |= std::byte{1} << (expert % 8);
      }
    }
    share_.set_map(worker, layer, map);
  }

  MachineShare share_;
  std::vector<ExpertCache> caches_;  // this machine's first
};

// Workers bring memory and disks: both count.
TEST(MachineShare, MoreMachinesAreFasterThanOneWithTheirMemory) {
  const double one = Simulation(0, 12).seconds(200);
  const double twice_the_slots = Simulation(0, 24).seconds(200);
  const double two = Simulation(1, 12).seconds(200);
  const double three = Simulation(2, 12).seconds(200);
  EXPECT_LT(two, twice_the_slots);
  EXPECT_LT(two, one / 1.8);
  EXPECT_LT(three, two / 1.3);
}

}  // namespace
}  // namespace hypura
