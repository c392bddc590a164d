#include "bench/gpu/gpu_scenario.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "bench/gpu/gpu_report.h"

namespace hypura::bench {
namespace {

const GpuScenario& scenario(const std::string& name) {
  const auto& all = gpu_scenarios();
  return *std::find_if(all.begin(), all.end(), [&](const GpuScenario& it) { return it.name == name; });
}

DividedModel moe() {
  return {"moe.gguf", 24, true, 4000, 5000};
}

// Of a MoE under a cap, as they are found.
PlainSplits moe_splits() {
  return {"CUDA0", true, {3000}, {{"-ngl 13", 13, 0}, {"--cpu-moe", -1, 24}, {"--n-cpu-moe 12", -1, 12}}};
}

std::vector<std::string> titles(const std::vector<Arm>& arms) {
  std::vector<std::string> titles;
  for (const Arm& arm : arms) {
    titles.push_back(arm.title);
  }
  return titles;
}

RunResult run_of(double decode_seconds) {
  RunResult run;
  run.decode = {100, decode_seconds, 0};
  return run;
}

TEST(GpuScenario, TheCapIsWhatAllTakesLessAShareOfTheExperts) {
  EXPECT_EQ(vram_cap(scenario("moe-100"), moe()), 0U);
  EXPECT_EQ(vram_cap(scenario("moe-50"), moe()), 3000U);
  EXPECT_EQ(vram_cap(scenario("moe-25"), moe()), 2000U);
}

TEST(GpuScenario, AMoeIsDividedByItsExperts) {
  RunSpec common;
  common.prompt_tokens = 2048;
  EXPECT_EQ(titles(arms_of(scenario("moe-100"), moe(), common, {})),
            (std::vector<std::string>{"plain, all in VRAM", "hypura"}));
  const auto half = arms_of(scenario("moe-50"), moe(), common, moe_splits());
  ASSERT_EQ(titles(half),
            (std::vector<std::string>{"plain, all in VRAM", "plain, --cpu-moe", "plain, --n-cpu-moe 12", "hypura"}));
  EXPECT_EQ(half[1].spec.cpu_expert_layers, 24U);
  EXPECT_EQ(half[2].spec.cpu_expert_layers, 12U);
  EXPECT_EQ(half[2].spec.ubatch, 2048U);
  EXPECT_EQ(half[2].spec.gpu, "CUDA0");
  EXPECT_EQ(half[2].spec.vram, 0U) << "it is the split that keeps the cap";
  EXPECT_EQ(half[3].spec.vram, 3000U);
  const auto three_tiers = arms_of(scenario("moe-25-ram-50"), moe(), common, moe_splits());
  EXPECT_EQ(titles(three_tiers), (std::vector<std::string>{"plain, --cpu-moe", "hypura"}));
  EXPECT_FALSE(three_tiers[0].spec.repack);
  EXPECT_GT(three_tiers[1].spec.memory, 2000U);
  EXPECT_LT(three_tiers[0].spec.tokens, three_tiers[1].spec.tokens) << "it takes seconds for each";
  EXPECT_EQ(three_tiers[0].spec.prompt_tokens, three_tiers[1].spec.prompt_tokens);
}

TEST(GpuScenario, ADenseModelsSplitIsTheLayersThatFit) {
  const DividedModel dense = {"dense.gguf", 25, false, 5000, 6000};
  const auto arms = arms_of(scenario("dense-50"), dense, RunSpec(), {"CUDA0", true, {3000}, {{"-ngl 13", 13, 0}}});
  ASSERT_EQ(titles(arms), (std::vector<std::string>{"plain, all in VRAM", "plain, -ngl 13", "hypura"}));
  EXPECT_EQ(arms[1].spec.gpu_layers, 13);
  EXPECT_LT(arms[2].spec.gpu_layers, 0) << "it is the plan that divides";
  EXPECT_EQ(arms[2].spec.vram, 3500U);
}

TEST(GpuReport, RatiosAreOfMediansByTheBestOfTheirs) {
  GpuScenarioRuns runs = {scenario("moe-50"), moe(), {}};
  for (Arm& arm : arms_of(runs.scenario, runs.model, RunSpec(), moe_splits())) {
    runs.arms.push_back({std::move(arm), {}});
  }
  runs.arms[0].runs = {run_of(1), run_of(1), run_of(1)};
  runs.arms[1].runs = {run_of(8), run_of(8), run_of(4)};
  runs.arms[2].runs = {run_of(4), run_of(5), run_of(1)};
  runs.arms[3].runs = {run_of(2), run_of(2), run_of(9)};
  const auto verdicts = verdicts_on(runs);
  ASSERT_EQ(verdicts.size(), 2U);
  EXPECT_DOUBLE_EQ(verdicts[0].ratio.value(), 2);  // 2.2 were wanted
  EXPECT_FALSE(verdicts[0].passed());
  EXPECT_DOUBLE_EQ(verdicts[1].ratio.value(), 0.5);
  EXPECT_TRUE(verdicts[1].passed());
}

TEST(GpuReport, ARunThatFailedIsNoVerdict) {
  GpuScenarioRuns runs = {scenario("moe-50"), moe(), {}};
  for (Arm& arm : arms_of(runs.scenario, runs.model, RunSpec(), moe_splits())) {
    runs.arms.push_back({std::move(arm), {run_of(1)}});
  }
  runs.arms.back().runs.front().error = "no memory";
  for (const GpuVerdict& verdict : verdicts_on(runs)) {
    EXPECT_FALSE(verdict.ratio);
    EXPECT_FALSE(verdict.passed());
  }
  const GpuReport report = {"CUDA0", {}, {runs}};
  EXPECT_NE(gpu_markdown(report).find("- moe-50, hypura: no memory"), std::string::npos);
}

}  // namespace
}  // namespace hypura::bench
