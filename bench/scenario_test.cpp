#include "bench/scenario.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/units.h"

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

TEST(SelectScenarios, TakesAllThatTheModelsAllow) {
  EXPECT_EQ(select_scenarios({}, true, true)->size(), all_scenarios().size());
  const auto dense = select_scenarios({}, false, true);
  for (const Scenario& scenario : *dense) {
    EXPECT_FALSE(scenario.moe) << scenario.name;
  }
}

TEST(SelectScenarios, TakesThoseNamedInTheOrderOfTheTable) {
  EXPECT_THAT(names_of(select_scenarios({"dense35", "moe35"}, true, true)), ElementsAre("moe35", "dense35"));
}

TEST(SelectScenarios, TakesAGroup) {
  EXPECT_THAT(names_of(select_scenarios({"resident"}, true, true)), ElementsAre("resident-moe", "resident-dense"));
  EXPECT_THAT(names_of(select_scenarios({"prefill512"}, false, true)), ElementsAre("prefill512-dense"));
}

TEST(SelectScenarios, SaysWhatIsWrong) {
  EXPECT_THAT(select_scenarios({"moe99"}, true, true).error().message, HasSubstr("--scenario moe99"));
  EXPECT_THAT(select_scenarios({"dense35"}, true, false).error().message, HasSubstr("needs --dense FILE"));
  EXPECT_THAT(select_scenarios({}, false, false).error().message, HasSubstr("--moe FILE"));
}

TEST(Budget, IsAShareOfTheFile) {
  Scenario scenario;
  scenario.share = 0.35;
  EXPECT_EQ(budget_of(scenario, 1000), 350);
  scenario.share = 0;
  EXPECT_EQ(budget_of(scenario, 1000), 0);
}

TEST(Limit, AddsFivePerCentOrSixtyFourMegabytes) {
  EXPECT_EQ(limit_of(100 * kMiB), 164 * kMiB);
  EXPECT_EQ(limit_of(20 * kGiB), 21 * kGiB);
  EXPECT_EQ(limit_of(0), 0);
}

}  // namespace
}  // namespace hypura::bench
