#include "residency/expert_ranking.h"

#include <gtest/gtest.h>

#include "hypura/routing.h"

namespace hypura {
namespace {

void decode(ExpertRanking& ranking, const std::vector<uint16_t>& chosen, uint32_t used = 1) {
  ranking.note({chosen, used, true});
}

void prompt(ExpertRanking& ranking, const std::vector<uint16_t>& chosen, uint32_t used = 1) {
  ranking.note({chosen, used, false});
}

TEST(ExpertRanking, AtFirstAllAreWorthTheSame) {
  ExpertRanking ranking(4);
  for (uint32_t expert = 1; expert < 4; ++expert) {
    EXPECT_EQ(ranking.worth(expert), ranking.worth(0));
  }
}

TEST(ExpertRanking, UsesCountAndFade) {
  ExpertRanking ranking(8);
  for (int i = 0; i < 6; ++i) {
    decode(ranking, {0, 1}, 2);
  }
  decode(ranking, {2, 3}, 2);
  EXPECT_GT(ranking.worth(0), ranking.worth(2));
  for (int i = 0; i < 400; ++i) {
    decode(ranking, {4, 5}, 2);
  }
  decode(ranking, {2, 6}, 2);
  decode(ranking, {4, 5}, 2);
  EXPECT_GT(ranking.worth(2), ranking.worth(0));
}

// By what one use is worth beside none, after tokens that passed the layer by.
TEST(ExpertRanking, UsesFadeMoreSlowlyWhereFewOfManyAreUsed) {
  for (const auto& [experts, tokens] : {std::pair(8U, 22), std::pair(32U, 44)}) {
    ExpertRanking ranking(experts);
    decode(ranking, {0});
    const double use = ranking.worth(0) - ranking.worth(1);
    for (int i = 0; i < tokens; ++i) {
      decode(ranking, {RoutingTrace::kNone});
    }
    EXPECT_NEAR(ranking.worth(0) - ranking.worth(1), use / 2, use / 100) << experts;
  }
}

TEST(ExpertRanking, WhatFollowedBeforeIsWorthMore) {
  ExpertRanking ranking(8);
  for (int i = 0; i < 10; ++i) {
    for (const uint16_t expert : std::initializer_list<uint16_t>{0, 1, 2, 3}) {
      decode(ranking, {expert});
    }
  }
  for (const uint16_t expert : std::initializer_list<uint16_t>{0, 1, 2, 3}) {
    decode(ranking, {expert});
    for (uint32_t other = 0; other < 4; ++other) {
      const uint32_t next = (expert + 1U) % 4;
      EXPECT_TRUE(other == next || ranking.worth(next) > ranking.worth(other)) << next << " or " << other;
    }
  }
}

// Each token of a prompt follows the one before it, the first of a pass the last of the pass before, and the first that
// is decoded the prompt's last.
TEST(ExpertRanking, TokensOfAPromptFollowEachOther) {
  ExpertRanking ranking(8);
  for (int i = 0; i < 8; ++i) {
    prompt(ranking, {0, 1, 2});
    prompt(ranking, {3});
    decode(ranking, {4});
    decode(ranking, {5});
  }
  for (uint16_t expert = 0; expert < 5; ++expert) {
    decode(ranking, {expert});
    for (uint32_t other = 0; other < 8; ++other) {
      const uint32_t next = expert + 1U;
      EXPECT_TRUE(other == next || ranking.worth(next) > ranking.worth(other)) << next << " or " << other;
    }
  }
}

// Two conversations beside each other: 0 1 0 1 ... and 4 5 4 5 ...
TEST(ExpertRanking, TokensDecodedTogetherEachFollowTheirOwn) {
  ExpertRanking ranking(8);
  for (int i = 0; i < 10; ++i) {
    decode(ranking, {0, 4});
    decode(ranking, {1, 5});
  }
  decode(ranking, {0, 5});  // 1 and 4 come next
  for (const uint32_t next : {1U, 4U}) {
    for (const uint32_t other : {0U, 5U, 2U, 7U}) {
      EXPECT_GT(ranking.worth(next), ranking.worth(other));
    }
  }
}

// 1 is decoded after 0 whenever one token was before it; when two were, nobody knows whom it follows.
TEST(ExpertRanking, NothingIsLearnedWhereNobodyKnowsWhoFollowsWhom) {
  ExpertRanking ranking(8);
  for (int i = 0; i < 10; ++i) {
    decode(ranking, {0, 0});
    decode(ranking, {1});
    decode(ranking, {2, 3, 2});
  }
  decode(ranking, {0});
  EXPECT_LT(ranking.worth(1), ranking.worth(0));
}

TEST(ExpertRanking, NumbersThatAreNoExpertAreSkipped) {
  constexpr uint16_t kNone = RoutingTrace::kNone;
  ExpertRanking with(8);
  ExpertRanking without(8);
  for (uint16_t i = 0; i < 50; ++i) {
    const auto a = static_cast<uint16_t>(i % 3);
    const auto b = static_cast<uint16_t>(3 + i % 5);
    decode(with, {a, kNone, b}, 3);
    decode(without, {a, b, 8}, 3);  // experts are 0 to 7
  }
  for (uint32_t expert = 0; expert < 8; ++expert) {
    EXPECT_EQ(with.worth(expert), without.worth(expert));
  }
  decode(with, {kNone, kNone, kNone}, 3);  // a token without any
  EXPECT_GT(with.worth(0), 0);
}

TEST(ExpertRanking, AsksForTheBytesThatItSays) {
  EXPECT_EQ(ExpertRanking::bytes_for(1, 1), 2U + 30 + 4);
  EXPECT_EQ(ExpertRanking::bytes_for(60, 256), 60U * (2 * 256 * 256 + 30 * 256 + 4));
}

}  // namespace
}  // namespace hypura
