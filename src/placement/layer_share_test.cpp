#include "placement/layer_share.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace hypura {
namespace {

constexpr double kDisk = 100;  // bytes a second

using Workers = std::vector<std::optional<SharingWorker>>;

std::vector<SharedLayer> layers_of(size_t count, uint64_t read_here = 100) {
  return std::vector<SharedLayer>(count, SharedLayer{100, read_here, 0});
}

auto count_of(const std::vector<uint32_t>& who, uint32_t machine) {
  return std::ranges::count(who, machine);
}

TEST(LayerShare, AWorkerWithMemoryForAllTakesWhatIsReadHere) {
  std::vector<SharedLayer> layers = layers_of(8);
  layers[2].read_here = layers[5].read_here = 0;
  const auto who = share_layers(layers, SharingHere{0, kDisk}, Workers{SharingWorker{1000, kDisk, 0.01}});
  for (size_t i = 0; i < layers.size(); ++i) {
    EXPECT_EQ(who[i], i == 2 || i == 5 ? kLayerIsHere : 1U) << i;
  }
}

TEST(LayerShare, WithoutMemoryTheDisksShareByTheirSpeeds) {
  const auto who = share_layers(layers_of(40), SharingHere{0, kDisk}, Workers{SharingWorker{0, 3 * kDisk, 0}});
  EXPECT_EQ(count_of(who, 1), 30);
}

TEST(LayerShare, WhatIsReadHereBesidesCounts) {
  const auto who = share_layers(layers_of(20), SharingHere{2000, kDisk}, Workers{SharingWorker{0, kDisk, 0}});
  EXPECT_EQ(count_of(who, 1), 20);
}

TEST(LayerShare, MemoryIsFilledBeforeAnythingIsReadThere) {
  const auto who = share_layers(layers_of(30), SharingHere{0, kDisk}, Workers{SharingWorker{1000, kDisk, 0}});
  EXPECT_EQ(count_of(who, 1), 20);  // 10 in memory; 10 are read there and 10 here
}

TEST(LayerShare, WorkersThatAreAlikeHaveAsMuch) {
  const Workers workers = {SharingWorker{1000, kDisk, 0.01}, std::nullopt, SharingWorker{1000, kDisk, 0.01}};
  const auto who = share_layers(layers_of(10), SharingHere{0, kDisk}, workers);
  EXPECT_EQ(count_of(who, 1), 5);
  EXPECT_EQ(count_of(who, 2), 0);
  EXPECT_EQ(count_of(who, 3), 5);
}

TEST(LayerShare, OneThatDoesNotPayIsNotAsked) {
  const auto who = share_layers(layers_of(10), SharingHere{0, kDisk}, Workers{SharingWorker{1000, kDisk, 3}});
  EXPECT_EQ(count_of(who, kLayerIsHere), 10);
}

// Ten layers that are read in 10 s: to compute them elsewhere costs more than that saves, or not.
TEST(LayerShare, HowFastAWorkerComputesCounts) {
  std::vector<SharedLayer> layers = layers_of(10);
  for (SharedLayer& it : layers) {
    it.seconds = 0.1;
  }
  const auto given = [&](double slower) {
    return count_of(share_layers(layers, SharingHere{0, kDisk, 1}, Workers{SharingWorker{1000, kDisk, 0.01, slower}}),
                    1);
  };
  EXPECT_EQ(given(1), 10);
  EXPECT_EQ(given(100), 0);
  EXPECT_GT(given(15), 0);
  EXPECT_LT(given(15), 10);
}

// What is in memory here goes to a machine that computes so much faster that asking it pays.
TEST(LayerShare, AFasterMachineComputesWhatIsInMemoryHere) {
  std::vector<SharedLayer> layers = layers_of(4, 0);
  for (SharedLayer& it : layers) {
    it.seconds = 0.1;
  }
  const auto given = [&](double slower) {
    return count_of(share_layers(layers, SharingHere{0, kDisk, 1}, Workers{SharingWorker{1000, kDisk, 0.01, slower}}),
                    1);
  };
  EXPECT_EQ(given(0.5), 4);
  EXPECT_EQ(given(0.95), 0);
}

TEST(LayerShare, ItsLayersLieSpread) {
  const auto who = share_layers(layers_of(40), SharingHere{0, kDisk}, Workers{SharingWorker{0, kDisk, 0}});
  for (size_t begin = 0; begin < 40; begin += 8) {
    const auto here = std::count(who.begin() + static_cast<std::ptrdiff_t>(begin),
                                 who.begin() + static_cast<std::ptrdiff_t>(begin + 8), kLayerIsHere);
    EXPECT_GE(here, 2) << begin;
    EXPECT_LE(here, 6) << begin;
  }
}

TEST(LayerShare, WithoutWorkersAllAreHere) {
  EXPECT_EQ(share_layers(layers_of(3), SharingHere{0, kDisk}, {}), std::vector<uint32_t>(3, kLayerIsHere));
}

}  // namespace
}  // namespace hypura
