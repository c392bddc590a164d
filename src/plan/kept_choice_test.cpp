#include "plan/kept_choice.h"

#include <gtest/gtest.h>

#include <limits>

#include "llama/models_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

// 1 MiB at least, of conversations of 16 MiB that take 100 seconds to compute.
KeptTerms terms(double disk) {
  return {kMiB, 2 * kMiB, 16 * kMiB, 100, disk};
}

// Each MiB that weights lose costs so many seconds a turn.
auto lost(double seconds) {
  return [seconds](uint64_t bytes) { return 10 + seconds * static_cast<double>(bytes) / kMiB; };
}

TEST(KeptChoice, WhatADiskKeepsTakesNoRamFromWeights) {
  const KeptChoice choice = choose_kept(terms(4e9), lost(0.01));
  EXPECT_EQ(choice.most, kMiB);
  EXPECT_EQ(choice.all, 3 * kMiB);
  EXPECT_TRUE(choice.more_pays_not);
}

TEST(KeptChoice, WithoutADiskRamIsTakenAsLongAsItPays) {
  const KeptChoice cheap = choose_kept(terms(0), lost(0.01));
  const KeptChoice dear = choose_kept(terms(0), lost(0.5));
  EXPECT_GT(cheap.most, dear.most);
  EXPECT_GT(dear.most, kMiB);
  EXPECT_TRUE(dear.more_pays_not);
}

TEST(KeptChoice, OnASlowDiskSomeIsKeptInRam) {
  const KeptChoice slow = choose_kept(terms(1e6), lost(0.05));
  EXPECT_GT(slow.most, choose_kept(terms(4e9), lost(0.05)).most);
  EXPECT_LT(slow.most, choose_kept(terms(0), lost(0.05)).most);
}

TEST(KeptChoice, WhatNobodyElseWantsIsTakenForFourConversations) {
  const KeptChoice choice = choose_kept(terms(4e9), lost(0));
  EXPECT_EQ(choice.most, 64 * kMiB);
  EXPECT_FALSE(choice.more_pays_not);
}

TEST(KeptChoice, NothingIsKeptWhereThatCostsMoreThanItSaves) {
  EXPECT_EQ(choose_kept(terms(4e9), lost(20)).most, 0U);
  const auto fits_alone = [](uint64_t bytes) { return bytes == 0 ? 10 : std::numeric_limits<double>::infinity(); };
  EXPECT_EQ(choose_kept(terms(0), fits_alone).all, 0U);
  KeptTerms quick = terms(4e9);
  quick.computing = 0.001;  // sooner than it is fetched
  EXPECT_EQ(choose_kept(quick, lost(0.01)).most, 0U);
}

// Of the stories, whose weights are 52 MB and which compute so fast that what it takes of them is soon too much.
TEST(KeptChoice, OfAModelItIsWeighedByThePlan) {
  auto model = open_model(kModels / "hypura-stories-moe.gguf");
  ASSERT_TRUE(model);
  EngineOptions options;
  options.context = 8192;
  options.threads = 1;
  options.kv_disk = 0;
  const RunHistory history;
  const auto chosen = [&](uint64_t budget) {
    return choose_kept(make_request(options, *model, {budget, {}}, history));
  };
  const KeptChoice all = chosen(kGiB);
  EXPECT_GT(all.most, 0U);
  EXPECT_FALSE(all.more_pays_not) << "it has memory to spare";
  EXPECT_LE(chosen(70 * kMiB).most, all.most);
  EXPECT_EQ(chosen(40 * kMiB).all, 0U) << "experts are worth more";
  EXPECT_EQ(chosen(8 * kMiB).all, 0U) << "the model alone does not fit";
}

}  // namespace
}  // namespace hypura
