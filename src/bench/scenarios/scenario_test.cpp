#include "bench/scenarios/scenario.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/scenarios/scenario_runs.h"

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
  EXPECT_EQ(select_scenarios({}, {kFile, kFile, kFile})->size(), 16);
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

TEST(SelectScenarios, TakesShapesAndTablesOnlyWhenNamed) {
  EXPECT_THAT(names_of(select_scenarios({"shape"}, {"", kFile})),
              ElementsAre("shape-decode-dense", "shape-prompt32-dense", "shape-prompt128-dense",
                          "shape-prompt512-dense", "shape-prompt2048-dense"));
  EXPECT_EQ(select_scenarios({"shape"}, {kFile, kFile})->size(), 10);
  const auto tables = select_scenarios({"table"}, {"", kFile});
  EXPECT_THAT(names_of(tables), ElementsAre("table-prompt512", "table-decode"));
  for (const Scenario& scenario : *tables) {
    EXPECT_TRUE(spec_of(scenario, 32).lazy_tables);
  }
}

TEST(SpecOf, ShapesHavePromptsOfTheirLengthAndPredictions) {
  const auto scenarios = select_scenarios({"shape"}, {kFile, kFile});
  ASSERT_TRUE(scenarios);
  for (const Scenario& scenario : *scenarios) {
    const RunSpec spec = spec_of(scenario, 32);
    EXPECT_EQ(spec.prompt_tokens, scenario.kind == Kind::kPrefill ? scenario.prompt_tokens : 16) << scenario.name;
    EXPECT_LE(spec.prompt_tokens + spec.warmup_tokens + spec.tokens, spec.context) << scenario.name;
    EXPECT_TRUE(spec.predict) << scenario.name;
    EXPECT_FALSE(spec.lazy_tables) << scenario.name;
  }
}

Models pair_of(const char* target, const char* draft) {
  Models models;
  models.target = target;
  models.draft = draft;
  return models;
}

TEST(SelectScenarios, DraftByAModelWhereItIsGiven) {
  EXPECT_THAT(names_of(select_scenarios({}, pair_of(kFile, ""))), ElementsAre("draft-useless"));
  EXPECT_THAT(names_of(select_scenarios({}, pair_of(kFile, kFile))), ElementsAre("draft-dense", "draft-useless"));
  EXPECT_THAT(select_scenarios({"draft-dense"}, pair_of(kFile, "")).error().message, HasSubstr("needs --draft FILE"));
  EXPECT_THAT(select_scenarios({"draft-dense"}, pair_of("", kFile)).error().message, HasSubstr("--target FILE"));
}

TEST(SelectScenarios, DraftWithinExpertsOnlyWhenNamed) {
  Models models;
  models.stories = kFile;
  EXPECT_THAT(select_scenarios({"draft-moe"}, models).error().message, HasSubstr("needs --stories-draft FILE"));
  EXPECT_THAT(select_scenarios({"draft"}, models).error().message, HasSubstr("none of the chosen scenarios"));
  EXPECT_THAT(select_scenarios({}, models).error().message, HasSubstr("none of the chosen scenarios"));
  models.stories_draft = kFile;
  EXPECT_THAT(names_of(select_scenarios({"draft"}, models)), ElementsAre("draft-ngrams", "draft-moe"));
  models.target = kFile;
  EXPECT_THAT(names_of(select_scenarios({}, models)), ElementsAre("draft-ngrams", "draft-useless"));
}

TEST(SelectScenarios, SaysWhatIsWrong) {
  EXPECT_THAT(select_scenarios({"moe99"}, {kFile, kFile, ""}).error().message, HasSubstr("--scenario moe99"));
  EXPECT_THAT(select_scenarios({"dense35"}, {kFile, "", ""}).error().message, HasSubstr("needs --dense FILE"));
  EXPECT_THAT(select_scenarios({}, {}).error().message, HasSubstr("--moe FILE"));
}

// The two arms of a scenario, as run_scenario() has them but for the model.
std::pair<RunSpec, RunSpec> drafted(const std::string& name, uint32_t tokens) {
  Models models = pair_of(kFile, kFile);
  models.stories = models.stories_draft = kFile;
  const Scenario scenario = select_scenarios({name}, models)->front();
  RunSpec spec = spec_of(scenario, tokens);
  spec.draft = scenario.draft == DraftBy::kModel ? kFile : "";
  const std::vector<Arm> arms = draft_arms(scenario, spec);
  EXPECT_EQ(arms.size(), 2);
  EXPECT_FALSE(arms[0].spec.drafts()) << name;
  EXPECT_TRUE(arms[1].spec.drafts()) << name;
  EXPECT_EQ(arms[0].spec.context, arms[1].spec.context) << name;
  return {arms[0].spec, arms[1].spec};
}

TEST(DraftArms, AreEqualButForDraftsAndTokens) {
  const auto [without, with] = drafted("draft-dense", 32);
  EXPECT_EQ(without.tokens, 16);
  EXPECT_EQ(with.tokens, 64);
  EXPECT_FALSE(with.draft_ngrams);
  EXPECT_EQ(with.answers, 0);
}

TEST(DraftArms, OfNgramsGoOnWithTheSameText) {
  const auto [without, with] = drafted("draft-ngrams", 32);
  EXPECT_TRUE(with.draft_ngrams);
  EXPECT_TRUE(with.draft.empty());
  EXPECT_FALSE(without.draft_ngrams);
  EXPECT_TRUE(without.as_answer);
  EXPECT_FALSE(with.sentence.empty());
  EXPECT_EQ(without.sentence, with.sentence);
  EXPECT_EQ(without.tokens, with.tokens);
  EXPECT_LE(with.prompt_tokens + with.tokens, with.context);
}

TEST(DraftArms, CountAlikeWhereDraftsMustCostNothing) {
  const auto [without, with] = drafted("draft-useless", 32);
  EXPECT_EQ(without.tokens, with.tokens);
  EXPECT_TRUE(with.sentence.empty());
  EXPECT_TRUE(with.draft_ngrams);
}

TEST(SpecOf, PredictionsFitTheirContextAndFillAPass) {
  const auto scenarios = select_scenarios({"predict"}, {kFile, kFile, kFile});
  ASSERT_TRUE(scenarios);
  for (const Scenario& scenario : *scenarios) {
    const RunSpec spec = spec_of(scenario, 400);
    EXPECT_LE(spec.prompt_tokens + spec.warmup_tokens + spec.tokens, spec.context) << scenario.name;
    EXPECT_GE(spec.prompt_tokens, scenario.model == ModelKind::kStories ? 96 : 512) << scenario.name;
    EXPECT_GT(spec.tokens, 0) << scenario.name;
  }
}

TEST(DraftArms, OfTheStoriesModelFitItsContext) {
  EXPECT_EQ(drafted("draft-moe", 32).first.tokens, 256);
  const RunSpec longest = drafted("draft-moe", 400).second;
  EXPECT_LE(longest.context, 1024);
  EXPECT_LE(longest.prompt_tokens + longest.warmup_tokens + longest.tokens, longest.context);
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
