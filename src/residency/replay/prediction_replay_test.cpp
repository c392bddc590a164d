#include "residency/replay/prediction_replay.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "residency/coactivation.h"
#include "residency/replay/replay.h"
#include "residency/replay/trace_for_test.h"

namespace hypura {
namespace {

constexpr uint16_t kNone = RoutingTrace::kNone;

// Decode passes of one token each; `chosen` is [pass][layer][used].
RoutingTrace decoded(uint32_t layers, uint32_t experts, uint32_t used, std::vector<uint16_t> chosen) {
  RoutingTrace trace;
  trace.layers = layers;
  trace.experts = experts;
  trace.used = used;
  trace.passes.assign(chosen.size() / (layers * used), {1, true, 0});
  trace.chosen = std::move(chosen);
  return trace;
}

// Each expert of the first layer has one that follows it, which is followed in turn; the first are random.
RoutingTrace chained(uint32_t seed, uint32_t layers, uint32_t passes) {
  std::mt19937 engine(seed);
  std::vector<uint16_t> chosen;
  for (uint32_t pass = 0; pass < passes; ++pass) {
    const auto first = static_cast<uint16_t>(engine() % 16);
    const auto second = static_cast<uint16_t>((first + 1 + engine() % 15) % 16);
    for (uint32_t layer = 0; layer < layers; ++layer) {
      chosen.push_back(static_cast<uint16_t>((first * 5 + layer * 3) % 16));
      chosen.push_back(static_cast<uint16_t>((second * 5 + layer * 3) % 16));
    }
  }
  return decoded(layers, 16, 2, std::move(chosen));
}

// Predicts the same in every layer, and writes down what it is told.
class Scripted : public ExpertPredictor {
 public:
  explicit Scripted(std::vector<uint32_t> predictions) : predictions_(std::move(predictions)) {}

  size_t predict(uint32_t layer, std::span<const uint16_t> chosen, std::span<ExpertPrediction> out) const override {
    log_.push_back({'p', layer, {chosen.begin(), chosen.end()}, {}});
    const size_t count = std::min(out.size(), predictions_.size());
    for (size_t i = 0; i < count; ++i) {
      out[i] = {predictions_[i], 1};
    }
    return count;
  }
  void learn(uint32_t layer, std::span<const uint16_t> chosen, std::span<const uint16_t> next) override {
    log_.push_back({'l', layer, {chosen.begin(), chosen.end()}, {next.begin(), next.end()}});
  }

  struct Call {
    char kind = 0;
    uint32_t layer = 0;
    std::vector<uint16_t> chosen;
    std::vector<uint16_t> next;
    bool operator==(const Call&) const = default;
  };
  const std::vector<Call>& log() const { return log_; }

 private:
  std::vector<uint32_t> predictions_;
  mutable std::vector<Call> log_;
};

// Knows the rule of chained().
class Oracle : public ExpertPredictor {
 public:
  size_t predict(uint32_t /*layer*/, std::span<const uint16_t> chosen, std::span<ExpertPrediction> out) const override {
    for (size_t i = 0; i < chosen.size(); ++i) {
      out[i] = {(chosen[i] + 3U) % 16, 1};
    }
    return chosen.size();
  }
  void learn(uint32_t, std::span<const uint16_t>, std::span<const uint16_t>) override {}
};

// Two layers, two of six experts, one kept in each: the slots are three, one of them spare. Always predicted: 2, 3, of
// which 2 is the surer.
TEST(PredictionReplay, CountsAsByHand) {
  const RoutingTrace trace =
      decoded(2, 6, 2,
              {
                  0, 1, 2, 3,  // nothing is held: reads 2 and 3, both useful. Of 2 and 3, kept: 3
                  0, 1, 3, 4,  // 3 hits; reads 2, in vain. 4 goes, 3 is used more
                  0, 1, 4, 5,  // reads 2, in vain
              });
  Scripted predictor({2, 3});
  const PredictionResult result = replay_predictions(trace, predictor, 3, 1);
  EXPECT_EQ(result.chosen, 6U);
  EXPECT_EQ(result.lookups, 12U);
  EXPECT_EQ(result.predictable, 5U);
  EXPECT_EQ(result.full, (PredictionCounts{6, 3, 4, 2}));
  EXPECT_EQ(result.half, (PredictionCounts{3, 1, 3, 1}));
  EXPECT_DOUBLE_EQ(result.recall(result.full), 3.0 / 6);
  EXPECT_DOUBLE_EQ(result.full.precision(), 3.0 / 6);
  EXPECT_DOUBLE_EQ(result.full.useful_share(), 2.0 / 4);
  EXPECT_DOUBLE_EQ(result.covered_share(result.full), 2.0 / 5);
  EXPECT_DOUBLE_EQ(result.recall(result.half), 1.0 / 6);
  EXPECT_DOUBLE_EQ(result.half.precision(), 1.0 / 3);
  EXPECT_DOUBLE_EQ(result.half.useful_share(), 1.0 / 3);
  EXPECT_DOUBLE_EQ(result.covered_share(result.half), 1.0 / 5);
}

TEST(PredictionReplay, TheCacheIsTheLiveOne) {
  std::mt19937 engine(1);
  for (int round = 0; round < 60; ++round) {
    const auto layers = static_cast<uint32_t>(1 + engine() % 4);
    const auto experts = static_cast<uint32_t>(2 + engine() % 20);
    const auto used = static_cast<uint32_t>(1 + engine() % std::min(experts, 5U));
    const RoutingTrace trace = random_trace(engine, layers, experts, used, 120);
    const auto slots = static_cast<uint32_t>(engine() % (layers * experts + 3));
    const auto spare = static_cast<uint32_t>(engine() % (slots + 2));
    const ReplayResult live = replay(trace, Policy::kLive, slots, spare);
    NoPrediction nothing;
    const PredictionResult alone = replay_predictions(trace, nothing, slots, spare);
    EXPECT_EQ(alone.lookups, live.lookups);
    EXPECT_EQ(alone.lookups - alone.misses, live.hits);
    EXPECT_EQ(alone.full, PredictionCounts{});
    EXPECT_EQ(alone.half, PredictionCounts{});
    // Predictions move nothing.
    CoActivation predictor(layers, experts);
    const PredictionResult predicted = replay_predictions(trace, predictor, slots, spare);
    EXPECT_EQ(predicted.misses, alone.misses);
    EXPECT_EQ(predicted.predictable, alone.predictable);
    EXPECT_EQ(predicted.chosen, alone.chosen);
    EXPECT_LE(predicted.full.useful, predicted.predictable);
    EXPECT_LE(predicted.half.useful, predicted.full.useful);
  }
}

TEST(PredictionReplay, WhoKnowsCoversAllMissesButTheFirstLayers) {
  const RoutingTrace trace = chained(2, 4, 300);
  Oracle oracle;
  const PredictionResult result = replay_predictions(trace, oracle, 4 * 4 + 2, 2);
  EXPECT_EQ(result.chosen, 300U * 3 * 2);
  EXPECT_EQ(result.recall(result.full), 1);
  EXPECT_EQ(result.recall(result.half), 0.5);
  EXPECT_EQ(result.full.precision(), 1);
  EXPECT_EQ(result.full.useful_share(), 1);
  EXPECT_EQ(result.covered_share(result.full), 1);
  EXPECT_GT(result.predictable, 0U);
  EXPECT_GT(result.misses, result.predictable);  // the first layer's too
}

// No call to predict() comes after a learn() that tells the answer.
TEST(PredictionReplay, IsAskedBeforeItIsTold) {
  const RoutingTrace trace = decoded(3, 9, 1,
                                     {
                                         0,
                                         1,
                                         2,  //
                                         3,
                                         4,
                                         5,
                                     });
  Scripted predictor({0});
  replay_predictions(trace, predictor, 9, 1);
  const std::vector<Scripted::Call> expected = {
      {'p', 0, {0}, {}}, {'l', 0, {0}, {1}}, {'p', 1, {1}, {}}, {'l', 1, {1}, {2}},
      {'p', 0, {3}, {}}, {'l', 0, {3}, {4}}, {'p', 1, {4}, {}}, {'l', 1, {4}, {5}},
  };
  EXPECT_EQ(predictor.log(), expected);
}

TEST(PredictionReplay, PromptsTeachAndAreNotCounted) {
  // A prompt of two tokens, of which the last layer has the last one only; then a token.
  RoutingTrace trace = decoded(2, 8, 1,
                               {
                                   1,
                                   kNone,  //
                                   2,
                                   3,  //
                                   2,
                                   3,
                               });
  trace.passes = {{2, false, 0}, {1, true, 0}};
  Scripted predictor({3});
  const PredictionResult result = replay_predictions(trace, predictor, 9, 1);
  const std::vector<Scripted::Call> expected = {{'l', 0, {2}, {3}}, {'p', 0, {2}, {}}, {'l', 0, {2}, {3}}};
  EXPECT_EQ(predictor.log(), expected);
  EXPECT_EQ(result.chosen, 1U);
  EXPECT_EQ(result.lookups, 2U);
  EXPECT_EQ(result.misses, 0U);  // the prompt brought both
  EXPECT_EQ(result.full, (PredictionCounts{1, 1, 0, 0}));
}

TEST(PredictionReplay, APassReadsAnExpertOnceForAllItsTokens) {
  RoutingTrace trace = decoded(2, 8, 1,
                               {
                                   1,
                                   3,  //
                                   2,
                                   4,  //
                                   2,
                                   3,
                               });
  trace.passes = {{3, true, 0}};
  Scripted predictor({3});
  const PredictionResult result = replay_predictions(trace, predictor, 9, 1);
  EXPECT_EQ(result.chosen, 3U);
  EXPECT_EQ(result.lookups, 4U);
  EXPECT_EQ(result.full, (PredictionCounts{3, 2, 1, 1}));
  EXPECT_EQ(result.half, result.full);  // one prediction at least
}

// Passes that leave layers out do not shift the others.
TEST(PredictionReplay, LayersMayBeLeftOut) {
  const RoutingTrace trace = decoded(3, 8, 1,
                                     {
                                         kNone,
                                         1,
                                         kNone,  //
                                         kNone,
                                         kNone,
                                         kNone,  //
                                         2,
                                         kNone,
                                         3,  //
                                         4,
                                         5,
                                         6,
                                     });
  Scripted predictor({5});
  const PredictionResult result = replay_predictions(trace, predictor, 25, 1);
  const std::vector<Scripted::Call> expected = {
      {'p', 0, {4}, {}}, {'l', 0, {4}, {5}}, {'p', 1, {5}, {}}, {'l', 1, {5}, {6}}};
  EXPECT_EQ(predictor.log(), expected);
  EXPECT_EQ(result.lookups, 6U);
  EXPECT_EQ(result.misses, 6U);
  EXPECT_EQ(result.predictable, 4U);
  EXPECT_EQ(result.full, (PredictionCounts{2, 1, 2, 1}));
}

TEST(PredictionReplay, CoActivationFindsWhatPopularityCannot) {
  const RoutingTrace trace = chained(7, 5, 1500);
  CoActivation coactivation(5, 16);
  PopularPrediction popular(5, 16);
  const PredictionResult its = replay_predictions(trace, coactivation, 5 * 4 + 2, 2);
  const PredictionResult other = replay_predictions(trace, popular, 5 * 4 + 2, 2);
  EXPECT_GT(its.recall(its.full), 0.95);
  EXPECT_GT(its.full.useful_share(), 0.95);
  EXPECT_GT(its.covered_share(its.full), 0.95);
  EXPECT_LT(other.recall(other.full), 0.25);  // all are as popular: 2 of 16
  EXPECT_LT(other.covered_share(other.full), 0.25);
}

TEST(PopularPrediction, PredictsWhatMostTokensChose) {
  PopularPrediction popular(3, 4);
  std::vector<ExpertPrediction> out(3);
  const std::vector<uint16_t> any = {0};
  EXPECT_EQ(popular.predict(0, any, out), 0U);
  const std::vector<uint16_t> often = {2, 3};
  const std::vector<uint16_t> seldom = {2, 1};
  popular.learn(0, any, often);
  popular.learn(0, any, often);
  popular.learn(0, any, seldom);
  ASSERT_EQ(popular.predict(0, any, out), 3U);
  EXPECT_EQ(out[0].expert, 2U);
  EXPECT_FLOAT_EQ(out[0].confidence, 1);
  EXPECT_EQ(out[1].expert, 3U);
  EXPECT_FLOAT_EQ(out[1].confidence, 2.0F / 3);
  EXPECT_EQ(out[2].expert, 1U);
  EXPECT_EQ(popular.predict(1, any, out), 0U);
  EXPECT_EQ(popular.predict(2, any, out), 0U);
}

TEST(PredictionReplay, OfNothingIsNothing) {
  NoPrediction nothing;
  EXPECT_EQ(replay_predictions({}, nothing, 10, 1), PredictionResult{});
  const PredictionResult empty;
  EXPECT_EQ(empty.recall(empty.full), 0);
  EXPECT_EQ(empty.full.precision(), 0);
  EXPECT_EQ(empty.full.useful_share(), 0);
  EXPECT_EQ(empty.covered_share(empty.full), 0);
}

}  // namespace
}  // namespace hypura
