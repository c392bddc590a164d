#include "residency/replay/routing_steps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "residency/coactivation.h"

namespace hypura {
namespace {

using testing::ElementsAre;

constexpr uint16_t kUnused = RoutingTrace::kNone;

// Three layers of eight experts, two used; the second token did not pass the second layer.
RoutingTrace three_tokens() {
  RoutingTrace trace;
  trace.layers = 3;
  trace.experts = 8;
  trace.used = 2;
  trace.passes = {{2, false, 0}, {1, true, 0}};
  trace.chosen = {1, 2, 3,       4,       5, kUnused,  //
                  1, 2, kUnused, kUnused, 6, 7,        //
                  2, 1, 4,       3,       5, 0};
  return trace;
}

TEST(RoutingSteps, AreWhatATokenChoseInTwoLayers) {
  const RoutingTrace trace = three_tokens();
  RoutingSteps steps(trace);
  ASSERT_TRUE(steps.read(0, 2));
  EXPECT_THAT(steps.before(), ElementsAre(3, 4));
  EXPECT_THAT(steps.after(), ElementsAre(5));
  EXPECT_FALSE(steps.read(1, 1));
  EXPECT_FALSE(steps.read(1, 2));
  ASSERT_TRUE(steps.read(2, 1));
  EXPECT_THAT(steps.before(), ElementsAre(2, 1));
  EXPECT_THAT(steps.after(), ElementsAre(4, 3));
}

TEST(RoutingSteps, TeachPromptsAndAnswers) {
  struct Lesson {
    uint32_t layer;
    std::vector<uint16_t> chosen;
    std::vector<uint16_t> next;
    bool operator==(const Lesson&) const = default;
  };
  class Pupil : public ExpertPredictor {
   public:
    size_t predict(uint32_t, std::span<const uint16_t>, std::span<ExpertPrediction>) const override { return 0; }
    void learn(uint32_t layer, std::span<const uint16_t> chosen, std::span<const uint16_t> next) override {
      lessons.push_back({layer, {chosen.begin(), chosen.end()}, {next.begin(), next.end()}});
    }
    std::vector<Lesson> lessons;
  };
  Pupil pupil;
  teach(pupil, three_tokens());
  EXPECT_EQ(pupil.lessons,
            (std::vector<Lesson>{{0, {1, 2}, {3, 4}}, {1, {3, 4}, {5}}, {0, {2, 1}, {4, 3}}, {1, {4, 3}, {5, 0}}}));
}

TEST(RoutingSteps, PredictsWhatItLearned) {
  CoActivation learned(3, 8);
  std::vector<ExpertPrediction> predictions(2);
  EXPECT_EQ(learned.predict(0, std::vector<uint16_t>{1, 2}, predictions), 0U);
  teach(learned, three_tokens());
  ASSERT_EQ(learned.predict(0, std::vector<uint16_t>{1, 2}, predictions), 2U);
  EXPECT_EQ(predictions[0].expert, 3U);
  EXPECT_EQ(predictions[1].expert, 4U);
}

}  // namespace
}  // namespace hypura
