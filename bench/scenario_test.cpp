#include "bench/scenario.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hypura::bench {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> names_of(const Result<std::vector<Scenario>>& scenarios) {
  std::vector<std::string> names;
  for (const Scenario& scenario : *scenarios) {
    names.push_back(scenario.name);
  }
  return names;
}

constexpr const char* kFile = "model.gguf";

TEST(SelectScenarios, TakesAllThatTheModelsAllow) {
  EXPECT_EQ(select_scenarios({}, {kFile, kFile, kFile})->size(), 14);
  const auto dense = select_scenarios({}, {"", kFile, ""});
  for (const Scenario& scenario : *dense) {
    EXPECT_EQ(scenario.model, ModelKind::kDense) << scenario.name;
  }
}

TEST(SelectScenarios, TakesThoseNamedInTheOrderOfTheTable) {
  EXPECT_THAT(names_of(select_scenarios({"dense35", "moe35"}, {kFile, kFile, ""})), ElementsAre("moe35", "dense35"));
}

TEST(SelectScenarios, TakesAGroup) {
  EXPECT_THAT(names_of(select_scenarios({"resident"}, {kFile, kFile, ""})),
              ElementsAre("resident-moe", "resident-dense"));
  EXPECT_THAT(names_of(select_scenarios({"prefill512"}, {"", kFile, ""})), ElementsAre("prefill512-dense"));
}

TEST(SelectScenarios, TakesWhatIsOnRequestOnlyWhenNamed) {
  EXPECT_THAT(names_of(select_scenarios({"predict-stories"}, {"", "", kFile})),
              ElementsAre("predict-stories-25", "predict-stories-35", "predict-stories-60", "predict-stories-100"));
  EXPECT_EQ(select_scenarios({"sweep"}, {kFile, kFile, kFile})->size(), 12);
}

TEST(SelectScenarios, SaysWhatIsWrong) {
  EXPECT_THAT(select_scenarios({"moe99"}, {kFile, kFile, ""}).error().message, HasSubstr("--scenario moe99"));
  EXPECT_THAT(select_scenarios({"dense35"}, {kFile, "", ""}).error().message, HasSubstr("needs --dense FILE"));
  EXPECT_THAT(select_scenarios({}, {}).error().message, HasSubstr("--moe FILE"));
}

TEST(Budget, IsAShareOfTheFile) {
  Scenario scenario;
  scenario.share = 0.35;
  EXPECT_EQ(budget_of(scenario, 1000), 350);
  scenario.share = 0;
  EXPECT_EQ(budget_of(scenario, 1000), 0);
}

}  // namespace
}  // namespace hypura::bench
