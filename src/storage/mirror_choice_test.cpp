#include "storage/mirror_choice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <optional>

namespace hypura {
namespace {

constexpr uint64_t kChunk = 1ULL << 20;
constexpr uint64_t kGiB = 1ULL << 30;

// Disks that serve one read after another, and a reader that keeps `depth` chunks of 1 MiB under way.
class Simulation {
 public:
  struct Disk {
    double bytes_per_second = 1e9;
    double latency = 0;  // of each read, besides
    bool hangs = false;  // what is begun never ends
  };

  Simulation(std::vector<Disk> disks, const std::vector<double>& start, size_t depth)
      : disks_(std::move(disks)), choice_(start), depth_(depth), queues_(disks_.size()), given_(disks_.size()) {
    lanes_.resize(disks_.size());
    std::iota(lanes_.begin(), lanes_.end(), 0U);
  }

  // Reads so many chunks more; stops when no more can be read, as all that are under way hang.
  void read(size_t chunks) {
    std::fill(given_.begin(), given_.end(), 0);
    for (size_t read = 0; read < chunks; ++read) {
      while (under_way() < depth_) {
        issue();
      }
      if (!end_one()) {
        return;
      }
      ++given_[ended_];
    }
  }

  // Of the last read(): chunks by disk, and the share of one.
  const std::vector<size_t>& given() const { return given_; }
  double share(size_t disk) const {
    return static_cast<double>(given_[disk]) /
           static_cast<double>(std::accumulate(given_.begin(), given_.end(), size_t{0}));
  }
  double now() const { return now_; }
  Disk& disk(size_t number) { return disks_[number]; }
  size_t under_way_on(size_t disk) const { return queues_[disk].size(); }
  const MirrorChoice& choice() const { return choice_; }

 private:
  size_t under_way() const {
    size_t sum = 0;
    for (const auto& queue : queues_) {
      sum += queue.size();
    }
    return sum;
  }

  void issue() {
    const size_t disk = choice_.choose(lanes_, kChunk, now_);
    const Disk& it = disks_[disk];
    const double begin = queues_[disk].empty() ? now_ : queues_[disk].back();
    const double seconds = it.latency + static_cast<double>(kChunk) / it.bytes_per_second;
    queues_[disk].push_back(it.hangs ? 1e30 : begin + seconds);
  }

  bool end_one() {
    const auto next = std::min_element(queues_.begin(), queues_.end(), [](const auto& a, const auto& b) {
      return (a.empty() ? 1e30 : a.front()) < (b.empty() ? 1e30 : b.front());
    });
    if (next->empty() || next->front() >= 1e30) {
      return false;
    }
    now_ = next->front();
    next->erase(next->begin());
    ended_ = static_cast<size_t>(next - queues_.begin());
    choice_.end(static_cast<uint32_t>(ended_), kChunk, kChunk, now_, Noticed::kAtOnce);
    return true;
  }

  std::vector<Disk> disks_;
  MirrorChoice choice_;
  size_t depth_;
  std::vector<uint32_t> lanes_;
  std::vector<std::vector<double>> queues_;  // when each chunk under way ends
  std::vector<size_t> given_;
  size_t ended_ = 0;
  double now_ = 0;
};

TEST(MirrorChoice, SharesFollowTheSpeedsWhateverTheyAreThoughtToBeAtFirst) {
  for (const std::vector<double>& start : {std::vector{1e9, 1e9, 1e9}, {5e9, 1e8, 1e9}, {1e7, 1e10, 1e9}}) {
    Simulation simulation({{2e9}, {1e9}, {0.5e9}}, start, 64);
    simulation.read(2000);
    simulation.read(4000);
    EXPECT_NEAR(simulation.share(0), 2 / 3.5, 0.02);
    EXPECT_NEAR(simulation.share(1), 1 / 3.5, 0.02);
    EXPECT_NEAR(simulation.share(2), 0.5 / 3.5, 0.02);
    EXPECT_NEAR(simulation.choice().speed(0), 2e9, 0.02 * 2e9);
    EXPECT_NEAR(simulation.choice().speed(2), 0.5e9, 0.02 * 0.5e9);
  }
}

TEST(MirrorChoice, AllDisksTogetherAreAsFastAsTheirSum) {
  Simulation simulation({{2e9}, {1e9}}, {1e9, 1e9}, 32);
  simulation.read(1000);
  const double before = simulation.now();
  simulation.read(3000);
  EXPECT_NEAR(3000 * static_cast<double>(kChunk) / (simulation.now() - before), 3e9, 0.03 * 3e9);
}

TEST(MirrorChoice, EqualDisksShareEqually) {
  Simulation simulation({{1e9}, {1e9}}, {1e9, 1e9}, 4);
  simulation.read(1000);
  EXPECT_NEAR(simulation.share(0), 0.5, 0.02);
}

TEST(MirrorChoice, FewChunksDoNotWaitForASlowDisk) {
  // Four chunks are read by the fast disk in the time that the slow one takes for a fifth of one.
  Simulation simulation({{2e9}, {1e8}}, {2e9, 1e8}, 4);
  simulation.read(900);
  EXPECT_EQ(simulation.given()[1], 0U);
}

TEST(MirrorChoice, ADiskThatSlowsDownLosesItsShareAndGetsItBack) {
  Simulation simulation({{1e9}, {1e9}}, {1e9, 1e9}, 32);
  simulation.read(1000);
  EXPECT_NEAR(simulation.share(1), 0.5, 0.02);
  simulation.disk(1).bytes_per_second = 1e8;
  simulation.read(1000);
  simulation.read(2000);
  EXPECT_NEAR(simulation.share(1), 1.0 / 11, 0.02);
  simulation.disk(1).bytes_per_second = 1e9;
  simulation.read(2000);
  simulation.read(2000);
  EXPECT_NEAR(simulation.share(1), 0.5, 0.02);
}

TEST(MirrorChoice, ADiskTooSlowToBeTakenIsTriedNowAndThen) {
  Simulation simulation({{2e9}, {1e6}}, {2e9, 1e6}, 8);
  simulation.read(8000);  // 8 GB: trials after 1, 3 and 7 GiB
  EXPECT_GE(simulation.given()[1], 1U);
  EXPECT_LE(simulation.given()[1] + simulation.under_way_on(1), 3U);
  // By now it is fast: the next trial shows it.
  simulation.disk(1).bytes_per_second = 2e9;
  simulation.read(20000);
  simulation.read(2000);
  EXPECT_NEAR(simulation.share(1), 0.5, 0.03);
}

TEST(MirrorChoice, ADiskThatHangsHoldsUpNothingElse) {
  for (const size_t depth : {4, 16, 64}) {
    Simulation simulation({{1e9}, {3e9}}, {1e9, 1e9}, depth);
    simulation.read(1000);
    simulation.disk(1).hangs = true;
    simulation.read(5000);
    // What was under way hangs, and what was sent after it before the silence was long.
    const size_t hanging = simulation.under_way_on(1);
    EXPECT_LT(hanging, depth) << "the other disk gets no more";
    EXPECT_EQ(simulation.given()[0] + simulation.given()[1], 5000U);
    simulation.read(5000);
    EXPECT_EQ(simulation.under_way_on(1), hanging) << "more is sent after what hangs";
    EXPECT_EQ(simulation.given()[0], 5000U);
  }
}

TEST(MirrorChoice, OnlyTheLanesGivenAreChosen) {
  MirrorChoice choice(std::vector<double>{1e9, 1e9, 9e9});
  const std::vector<uint32_t> lanes = {0, 1};
  for (int i = 0; i < 100; ++i) {
    EXPECT_LT(choice.choose(lanes, kChunk, 0), 2U);
  }
  const std::vector<uint32_t> only = {1};
  EXPECT_EQ(choice.choose(only, kChunk, 0), 0U);
}

TEST(MirrorChoice, WhatIsNoticedLateSaysNothingOfTheSpeed) {
  MirrorChoice choice(std::vector<double>{1e9});
  const std::vector<uint32_t> lane = {0};
  double now = 0;
  // The reads take a millisecond, but are noticed after a second of computing.
  for (int i = 0; i < 50; ++i) {
    choice.choose(lane, kChunk, now);
    choice.choose(lane, kChunk, now);
    now += 1;
    choice.end(0, kChunk, kChunk, now, Noticed::kLater);
    choice.end(0, kChunk, kChunk, now, Noticed::kLater);
  }
  EXPECT_EQ(choice.speed(0), 1e9);
}

TEST(MirrorChoice, WhatIsNoticedLateCountsOnceAReadIsSeenToEnd) {
  MirrorChoice choice(std::vector<double>{1e9});
  const std::vector<uint32_t> lane = {0};
  // Ten reads of which nine are noticed late, the tenth as it ends: together they took a second.
  for (int i = 0; i < 10; ++i) {
    choice.choose(lane, kChunk, 0);
  }
  for (int i = 0; i < 9; ++i) {
    choice.end(0, kChunk, kChunk, 0.7, Noticed::kLater);
  }
  choice.end(0, kChunk, kChunk, 1, Noticed::kAtOnce);
  // What was known fades to a thousandth in that second.
  EXPECT_NEAR(choice.speed(0), 10.0 * static_cast<double>(kChunk), 0.02 * 10 * static_cast<double>(kChunk));
}

TEST(MirrorChoice, AFailedReadMakesALaneSlower) {
  MirrorChoice choice(std::vector<double>{1e9});
  const std::vector<uint32_t> lane = {0};
  choice.choose(lane, kChunk, 0);
  choice.end(0, kChunk, 0, 5, Noticed::kAtOnce);
  EXPECT_LT(choice.speed(0), 1e8);
  EXPECT_GT(choice.speed(0), 0);
}

}  // namespace
}  // namespace hypura
