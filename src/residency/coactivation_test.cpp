#include "residency/coactivation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace hypura {
namespace {

using Chosen = std::vector<uint16_t>;

std::vector<ExpertPrediction> predictions(const CoActivation& predictor, uint32_t layer, const Chosen& chosen,
                                          size_t most) {
  std::vector<ExpertPrediction> out(most);
  out.resize(predictor.predict(layer, chosen, out));
  return out;
}

std::vector<uint32_t> experts(const CoActivation& predictor, uint32_t layer, const Chosen& chosen, size_t most) {
  std::vector<uint32_t> numbers;
  for (const ExpertPrediction& prediction : predictions(predictor, layer, chosen, most)) {
    numbers.push_back(prediction.expert);
  }
  return numbers;
}

// `used` different experts.
Chosen random_choice(std::mt19937& engine, uint32_t experts, uint32_t used) {
  Chosen all(experts);
  std::iota(all.begin(), all.end(), uint16_t{0});
  std::shuffle(all.begin(), all.end(), engine);
  all.resize(used);
  return all;
}

// Three layers of sixteen experts that have seen random tokens, so many that their counts were halved several times.
CoActivation random_counts(uint32_t seed) {
  std::mt19937 engine(seed);
  CoActivation predictor(3, 16);
  for (int token = 0; token < 4000; ++token) {
    const Chosen first = random_choice(engine, 16, 3);
    const Chosen second = random_choice(engine, 16, 3);
    predictor.learn(0, first, second);
    predictor.learn(1, second, random_choice(engine, 16, 3));
  }
  return predictor;
}

TEST(CoActivation, PredictsWhatFollowed) {
  CoActivation predictor(3, 8);
  for (int i = 0; i < 20; ++i) {
    predictor.learn(0, Chosen{1, 2}, Chosen{5, 6});
    predictor.learn(0, Chosen{3, 4}, Chosen{0, 7});
    predictor.learn(1, Chosen{1, 2}, Chosen{3, 4});
  }
  EXPECT_EQ(experts(predictor, 0, {1, 2}, 2), (std::vector<uint32_t>{5, 6}));
  EXPECT_EQ(experts(predictor, 0, {4, 3}, 2), (std::vector<uint32_t>{0, 7}));
  EXPECT_EQ(experts(predictor, 1, {2, 1}, 2), (std::vector<uint32_t>{3, 4}));
}

TEST(CoActivation, PredictsNothingItCannotKnow) {
  CoActivation predictor(3, 8);
  EXPECT_TRUE(experts(predictor, 0, {1, 2}, 4).empty());
  predictor.learn(0, Chosen{1, 2}, Chosen{5, 6});
  EXPECT_EQ(experts(predictor, 0, {1, 2}, 4).size(), 4U);
  EXPECT_TRUE(experts(predictor, 1, {1, 2}, 4).empty());  // another layer
  EXPECT_TRUE(experts(predictor, 2, {1, 2}, 4).empty());  // no layer follows
  EXPECT_TRUE(experts(predictor, 0, {}, 4).empty());
  EXPECT_TRUE(experts(predictor, 0, {1, 2}, 0).empty());
  EXPECT_TRUE(experts(CoActivation(1, 8), 0, {1, 2}, 4).empty());
}

TEST(CoActivation, PredictsEachExpertOnceSurestFirst) {
  const CoActivation predictor = random_counts(1);
  const std::vector<ExpertPrediction> all = predictions(predictor, 1, {0, 7, 9}, 100);
  ASSERT_EQ(all.size(), 16U);
  std::vector<bool> seen(16);
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_FALSE(seen[all[i].expert]);
    seen[all[i].expert] = true;
    EXPECT_GT(all[i].confidence, 0);
    EXPECT_LT(all[i].confidence, 1);
    EXPECT_TRUE(i == 0 || all[i].confidence <= all[i - 1].confidence);
  }
  const std::vector<uint32_t> few = experts(predictor, 1, {0, 7, 9}, 3);
  EXPECT_EQ(few, (std::vector<uint32_t>{all[0].expert, all[1].expert, all[2].expert}));
}

TEST(CoActivation, OfEqualsTheLowerNumberIsFirst) {
  CoActivation predictor(2, 8);
  predictor.learn(0, Chosen{1}, Chosen{6, 3});
  EXPECT_EQ(experts(predictor, 0, {1}, 4), (std::vector<uint32_t>{3, 6, 0, 1}));
}

// Expert 9 follows six tokens of ten, whatever they chose; 4 follows one of two that chose 1 or 2, and nobody else. The
// mean of the frequencies, .6 against .5, would prefer 9.
TEST(CoActivation, TwoThatAgreeOutweighThePopular) {
  CoActivation predictor(2, 16);
  std::mt19937 engine(4);
  for (int token = 0; token < 2000; ++token) {
    const auto first = static_cast<uint16_t>(1 + engine() % 12);
    Chosen next = {static_cast<uint16_t>(10 + engine() % 6)};
    if (engine() % 10 < 6) {
      next.push_back(9);
    }
    if (first <= 2 && engine() % 2 == 0) {
      next.push_back(4);
    }
    predictor.learn(0, Chosen{first}, next);
  }
  EXPECT_EQ(experts(predictor, 0, {1}, 1), (std::vector<uint32_t>{9}));
  EXPECT_EQ(experts(predictor, 0, {1, 2}, 1), (std::vector<uint32_t>{4}));
  EXPECT_EQ(experts(predictor, 0, {5, 6}, 1), (std::vector<uint32_t>{9}));
}

// Expert a of the first five is followed by a + 5 in a share of cases that rises with a. One chosen expert is evidence
// of less than full weight, so the confidence is somewhat below the share.
TEST(CoActivation, ConfidenceRisesWithTheShareThatIsRight) {
  CoActivation predictor(2, 16);
  std::mt19937 engine(5);
  for (int token = 0; token < 1000; ++token) {
    const auto first = static_cast<uint16_t>(engine() % 5);
    const bool follows = engine() % 10 < 1U + 2U * first;
    predictor.learn(0, Chosen{first}, Chosen{static_cast<uint16_t>(follows ? first + 5 : 10 + engine() % 6)});
  }
  float last = 0;
  for (uint16_t first = 0; first < 5; ++first) {
    const std::vector<ExpertPrediction> all = predictions(predictor, 0, {first}, 16);
    const auto prediction = std::ranges::find(all, first + 5U, &ExpertPrediction::expert);
    ASSERT_NE(prediction, all.end());
    EXPECT_GT(prediction->confidence, last);
    EXPECT_NEAR(prediction->confidence, 0.1 + 0.2 * first, 0.2);
    last = prediction->confidence;
  }
}

TEST(CoActivation, LikelihoodsAreOfAllExpertsAndOrderedAsPredictions) {
  const CoActivation predictor = random_counts(2);
  std::vector<double> likelihoods(16);
  for (const Chosen& chosen : {Chosen{5}, Chosen{0, 7, 9}}) {
    predictor.likelihoods(1, chosen, likelihoods);
    for (const double it : likelihoods) {
      EXPECT_GT(it, 0);
      EXPECT_LT(it, 1);
    }
    const std::vector<ExpertPrediction> first = predictions(predictor, 1, chosen, 1);
    const auto likeliest = std::ranges::max_element(likelihoods) - likelihoods.begin();
    EXPECT_EQ(likeliest, first[0].expert);
  }
}

TEST(CoActivation, LikelihoodsOfWhatNobodyKnowsAreAlike) {
  const CoActivation predictor(2, 8);
  std::vector<double> likelihoods(8);
  predictor.likelihoods(0, Chosen{1, 2}, likelihoods);
  EXPECT_NEAR(likelihoods[0], 0.25, 1e-9);  // two of eight
  EXPECT_EQ(likelihoods[7], likelihoods[0]);
}

// Many that agree are evidence beyond what a number holds.
TEST(CoActivation, LikelihoodsStayInBounds) {
  CoActivation predictor(2, 200);
  Chosen many(100);
  std::iota(many.begin(), many.end(), uint16_t{0});
  for (int i = 0; i < 200; ++i) {
    predictor.learn(0, many, Chosen{150});
    predictor.learn(0, Chosen{160}, Chosen{170});
  }
  std::vector<double> likelihoods(200);
  predictor.likelihoods(0, many, likelihoods);
  for (const double it : likelihoods) {
    EXPECT_GE(it, 0);
    EXPECT_LE(it, 1);
  }
  EXPECT_EQ(std::ranges::max_element(likelihoods) - likelihoods.begin(), 150);
}

TEST(CoActivation, OldHabitsFade) {
  CoActivation predictor(2, 8);
  for (int i = 0; i < 100000; ++i) {
    predictor.learn(0, Chosen{1}, Chosen{5});
  }
  for (uint32_t i = 0; i < CoActivation::kRowLimit; ++i) {
    predictor.learn(0, Chosen{1}, Chosen{6});
  }
  EXPECT_EQ(experts(predictor, 0, {1}, 1), (std::vector<uint32_t>{6}));
}

TEST(CoActivation, WhatIsAlwaysOrDoublyChosenStaysFinite) {
  CoActivation predictor(2, 4);
  for (int i = 0; i < 1000; ++i) {
    predictor.learn(0, Chosen{0, 1, 2, 3}, Chosen{0, 1, 2, 3});
    predictor.learn(0, Chosen{2, 2}, Chosen{3, 3, 3});
  }
  const std::vector<ExpertPrediction> all = predictions(predictor, 0, {0, 1, 2, 3}, 4);
  ASSERT_EQ(all.size(), 4U);
  for (const ExpertPrediction& prediction : all) {
    EXPECT_GE(prediction.confidence, 0);
    EXPECT_LE(prediction.confidence, 1);
  }
}

TEST(CoActivation, SaysWhatItTakes) {
  EXPECT_EQ(CoActivation::bytes_for(1, 128), 0U);
  EXPECT_EQ(CoActivation::bytes_for(2, 1), 12U);
  EXPECT_EQ(CoActivation::bytes_for(61, 256), 60U * (2 * 256 * 256 + 6 * 256 + 4));
}

}  // namespace
}  // namespace hypura
