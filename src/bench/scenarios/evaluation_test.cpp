#include "bench/scenarios/evaluation.h"

#include <gtest/gtest.h>

#include "bench/scenarios/report.h"

namespace hypura::bench {
namespace {

RunResult decoded(double tokens_per_second, uint64_t bytes_per_token) {
  RunResult run;
  run.decode = {10, 10 / tokens_per_second, bytes_per_token * 10};
  run.prefill = {512, 1.0, 0};
  return run;
}

RunResult failed() {
  RunResult run;
  run.error = "killed";
  return run;
}

ScenarioRuns scenario_of(const std::string& name) {
  ScenarioRuns runs;
  const Models models = {"moe.gguf", "dense.gguf", "stories.gguf", "target.gguf", "draft.gguf", "stories-draft.gguf"};
  runs.scenario = select_scenarios({name}, models)->front();
  runs.budget = runs.scenario.share > 0 ? 1000 : 0;
  return runs;
}

Arm arm(const std::string& engine, const std::string& title, std::optional<uint32_t> readahead = std::nullopt) {
  RunSpec spec;
  spec.engine = engine;
  return {title, spec, readahead};
}

// Three rounds: plain 1 tok/s, plain with less readahead 2 tok/s, hypura 5 tok/s reading 100 bytes a token.
ScenarioRuns three_arms(const std::string& name) {
  ScenarioRuns runs = scenario_of(name);
  runs.arms = {{arm("plain", "plain"), {decoded(1, 900), decoded(0.5, 900), decoded(1.5, 900)}},
               {arm("plain", "plain, 128", 128), {decoded(2, 400), decoded(2, 400), decoded(2, 400)}},
               {arm("hypura", "hypura"), {decoded(5, 100), decoded(4, 100), decoded(6, 100)}}};
  runs.disk = {{1000, {}}, {500, {}}, {800, {}}};
  return runs;
}

Capabilities everything() {
  Capabilities capabilities;
  capabilities.cgroups = capabilities.drop_caches = capabilities.drop_file_cache = capabilities.readahead = true;
  return capabilities;
}

TEST(Evaluate, ComparesWithTheBestPlainArm) {
  const Evaluation evaluation = evaluate(three_arms("moe35"), {}, everything());
  ASSERT_EQ(evaluation.comparisons.size(), 1);
  EXPECT_EQ(evaluation.comparisons[0].arms[0]->median, 1);
  EXPECT_EQ(evaluation.comparisons[0].arms[0]->low, 0.5);
  EXPECT_DOUBLE_EQ(*evaluation.comparisons[0].ratio, 2.5);
  ASSERT_EQ(evaluation.verdicts.size(), 1);
  EXPECT_TRUE(evaluation.verdicts[0].passed());
  EXPECT_TRUE(evaluation.verdicts[0].evaluated);
}

TEST(Evaluate, HoldsEachRoundAgainstItsOwnDiskSpeed) {
  const Evaluation evaluation = evaluate(three_arms("dense35"), {}, everything());
  ASSERT_TRUE(evaluation.bound);
  // Possible: 10, 5 and 8 tok/s; reached: 5, 4 and 6.
  EXPECT_DOUBLE_EQ(evaluation.bound->tokens_per_second, 8);
  EXPECT_DOUBLE_EQ(evaluation.bound->share, 0.75);
  EXPECT_FALSE(evaluation.bound->by_compute);
  EXPECT_FALSE(evaluation.verdicts[1].passed());  // 0.75 of the bound, 0.90 wanted
}

TEST(Evaluate, LetsComputingLimitMixturesOfExpertsOnly) {
  const Evaluation moe = evaluate(three_arms("moe35"), {5.0, {}}, everything());
  EXPECT_DOUBLE_EQ(moe.bound->tokens_per_second, 5);
  EXPECT_TRUE(moe.bound->by_compute);
  const Evaluation dense = evaluate(three_arms("dense35"), {5.0, {}}, everything());
  EXPECT_DOUBLE_EQ(dense.bound->tokens_per_second, 8);
}

// 1000 bytes a prompt token in 10, 5 and 8 tok/s of disk; computing allows 6.
TEST(Evaluate, BoundsAPromptByDiskAndComputing) {
  ScenarioRuns runs = three_arms("prefill512-dense");
  for (RunResult& run : runs.arms.back().runs) {
    run.prefill = run.decode;
  }
  const Evaluation evaluation = evaluate(std::move(runs), {std::nullopt, 6.0}, everything());
  ASSERT_TRUE(evaluation.bound);
  EXPECT_DOUBLE_EQ(evaluation.bound->tokens_per_second, 6);
  EXPECT_TRUE(evaluation.bound->by_compute);
  EXPECT_DOUBLE_EQ(evaluation.bound->share, 5.0 / 6);
}

TEST(Evaluate, LeavesOutPlainRunsThatFailed) {
  ScenarioRuns runs = three_arms("moe35");
  runs.arms[1].runs = {failed(), failed(), failed()};
  const Evaluation evaluation = evaluate(std::move(runs), {}, everything());
  EXPECT_FALSE(evaluation.comparisons[0].arms[1]);
  EXPECT_DOUBLE_EQ(*evaluation.comparisons[0].ratio, 5);
}

TEST(Evaluate, PassesNoTargetWhenARunOfOursFailed) {
  ScenarioRuns runs = three_arms("moe35");
  runs.arms[2].runs[0] = failed();
  const Evaluation evaluation = evaluate(std::move(runs), {}, everything());
  EXPECT_FALSE(evaluation.verdicts[0].measured);
  EXPECT_FALSE(evaluation.verdicts[0].passed());
}

TEST(Evaluate, EvaluatesNoBudgetThatWasNotHeld) {
  Capabilities capabilities = everything();
  capabilities.cgroups = false;
  EXPECT_FALSE(evaluate(three_arms("moe35"), {}, capabilities).verdicts[0].evaluated);
  EXPECT_TRUE(evaluate(three_arms("resident-moe"), {}, capabilities).verdicts[0].evaluated);
}

TEST(Evaluate, AllowsLoadingWhatTheDiskNeeds) {
  ScenarioRuns runs = scenario_of("load");
  RunResult run;
  run.first_token_seconds = 3.5;
  run.resident_bytes = 2000;
  runs.arms = {{arm("hypura", "hypura"), {run}}};
  runs.disk = {{1000, {}}};
  const Evaluation evaluation = evaluate(std::move(runs), {}, everything());
  ASSERT_TRUE(evaluation.load);
  EXPECT_DOUBLE_EQ(evaluation.load->disk_seconds, 2);
  EXPECT_DOUBLE_EQ(evaluation.verdicts[0].target, 3.6);
  EXPECT_TRUE(evaluation.verdicts[0].passed());
}

TEST(Evaluate, SaysSoWhenThePlanNamesNoResidentWeights) {
  ScenarioRuns runs = scenario_of("load");
  runs.arms = {{arm("hypura", "hypura"), {RunResult{}}}};
  runs.disk = {{1000, {}}};
  const Evaluation evaluation = evaluate(std::move(runs), {}, everything());
  EXPECT_FALSE(evaluation.load);
  EXPECT_FALSE(evaluation.verdicts[0].passed());
}

TEST(Evaluate, HoldsThePredictionAgainstTheMeasurement) {
  ScenarioRuns runs = scenario_of("predict-moe-35");
  RunResult run = decoded(10, 100);
  run.process_peak = 1000;
  run.predicted.known = true;
  run.predicted.decode_tokens_per_second = 11;
  run.predicted.memory_peak = 900;
  RunResult first = run;
  first.predicted.decode_tokens_per_second = 20;  // before anything was learned
  runs.arms = {{arm("hypura", "hypura"), {first, run, run}}};
  const Evaluation evaluation = evaluate(std::move(runs), {}, everything());
  ASSERT_TRUE(evaluation.prediction);
  EXPECT_EQ(evaluation.prediction->first_speed, 20);
  EXPECT_NEAR(evaluation.prediction->speed_error, 0.1, 1e-12);
  EXPECT_NEAR(evaluation.prediction->peak_error, -0.1, 1e-12);
  ASSERT_EQ(evaluation.verdicts.size(), 2);
  EXPECT_TRUE(evaluation.verdicts[0].passed());   // 10 % of the speed, 20 allowed
  EXPECT_FALSE(evaluation.verdicts[1].passed());  // 10 % of the peak, 5 allowed
}

// Reading takes 1 s and computing 3 of 4; 2 and 1 of 2.5; the disk was not probed beside the third.
TEST(Evaluate, HoldsAPromptAgainstTheLongerOfReadingAndComputing) {
  ScenarioRuns runs = scenario_of("shape-prompt512-moe");
  const auto prompt = [](double seconds, uint64_t bytes, double computing) {
    RunResult run;
    run.prefill = {512, seconds, bytes, {0.1, computing - 0.5, 0.5, 0}};
    run.predicted.known = true;
    run.predicted.prefill512_seconds = 5;
    return run;
  };
  runs.arms = {{arm("hypura", "hypura"), {prompt(4, 1000, 3), prompt(2.5, 2000, 1), prompt(9, 1, 1)}}};
  runs.disk = {{1000, {}}, {1000, {}}};
  const Evaluation evaluation = evaluate(std::move(runs), {}, everything());
  ASSERT_TRUE(evaluation.overlap);
  EXPECT_DOUBLE_EQ(evaluation.overlap->share, 0.775);  // of .75 and .8
  EXPECT_DOUBLE_EQ(evaluation.overlap->taken, 3.25);
  ASSERT_TRUE(evaluation.prediction);
  EXPECT_DOUBLE_EQ(evaluation.prediction->predicted_speed, 512.0 / 5);
  EXPECT_DOUBLE_EQ(evaluation.prediction->measured_speed.median, 512.0 / 4);
  ASSERT_EQ(evaluation.verdicts.size(), 4);  // the ratio; this; speed and peak
  EXPECT_FALSE(evaluation.verdicts[1].passed());
  EXPECT_FALSE(evaluation.verdicts[2].passed());  // 20 % of the speed, 15 allowed
}

TEST(Evaluate, APlanThatPredictsNothingFails) {
  ScenarioRuns runs = scenario_of("predict-moe-35");
  runs.arms = {{arm("hypura", "hypura"), {decoded(10, 100)}}};
  const Evaluation evaluation = evaluate(std::move(runs), {}, everything());
  EXPECT_FALSE(evaluation.prediction);
  EXPECT_FALSE(evaluation.verdicts[0].passed());
}

TEST(Evaluate, HoldsAnswersTogetherAgainstOneAlone) {
  ScenarioRuns runs = scenario_of("together-dense");
  RunResult alone = decoded(1, 100);  // 10 tokens in 10 s, and a prompt of 1 s
  RunResult together = decoded(4.4, 100);
  together.prefill = {};
  runs.arms = {{arm("hypura", "one answer"), {alone}}, {arm("hypura", "8 answers"), {together}}};
  const Evaluation evaluation = evaluate(std::move(runs), {}, everything());
  ASSERT_TRUE(evaluation.gain);
  EXPECT_NEAR(evaluation.gain->ratio, 4.84, 1e-9);
  ASSERT_EQ(evaluation.verdicts.size(), 1);
  EXPECT_FALSE(evaluation.verdicts[0].passed());
}

TEST(Evaluate, HoldsASecondTurnAgainstTheFirst) {
  ScenarioRuns runs = scenario_of("turns-moe");
  RunResult turns = decoded(1, 100);
  turns.first_token_seconds = 10;
  turns.second_turn_seconds = 1.4;
  runs.arms = {{arm("hypura", "hypura"), {turns}}};
  const Evaluation evaluation = evaluate(std::move(runs), {}, everything());
  ASSERT_TRUE(evaluation.gain);
  EXPECT_NEAR(evaluation.gain->ratio, 0.14, 1e-9);
  EXPECT_TRUE(evaluation.verdicts[0].passed());
}

// 16 tokens at 0.5 tok/s, and 64 at `speed` with 50 of 88 drafted tokens accepted.
ScenarioRuns two_draft_arms(const std::string& name, double speed) {
  RunResult without = decoded(0.5, 100);
  without.decode.tokens = 16;
  without.decode.seconds = 32;
  RunResult with = decoded(speed, 100);
  with.decode.tokens = 64;
  with.decode.seconds = 64 / speed;
  with.drafted_tokens = 88;
  with.accepted_draft_tokens = 50;
  ScenarioRuns runs = scenario_of(name);
  runs.arms = {{arm("hypura", "without drafts"), {without}}, {arm("hypura", "with drafts"), {with}}};
  return runs;
}

TEST(Evaluate, HoldsRatesWithDraftsAgainstThoseWithout) {
  const Evaluation missed = evaluate(two_draft_arms("draft-dense", 0.9), {}, everything());
  ASSERT_TRUE(missed.gain);
  EXPECT_NEAR(missed.gain->ratio, 1.8, 1e-9);
  ASSERT_EQ(missed.verdicts.size(), 1);
  EXPECT_FALSE(missed.verdicts[0].passed());  // 2.0 wanted
  EXPECT_TRUE(evaluate(two_draft_arms("draft-ngrams", 0.9), {}, everything()).verdicts[0].passed());
  EXPECT_FALSE(evaluate(two_draft_arms("draft-useless", 0.48), {}, everything()).verdicts[0].passed());
  EXPECT_TRUE(evaluate(two_draft_arms("draft-useless", 0.49), {}, everything()).verdicts[0].passed());
}

TEST(Evaluate, EvaluatesNothingWithoutATarget) {
  const Evaluation evaluation = evaluate(two_draft_arms("draft-moe", 0.4), {}, everything());
  ASSERT_TRUE(evaluation.gain);
  EXPECT_NEAR(evaluation.gain->ratio, 0.8, 1e-9);
  EXPECT_TRUE(evaluation.verdicts.empty());
}

TEST(Evaluate, CountsTheSamePlanSetByHandForTheAutomaticOne) {
  ScenarioRuns runs = scenario_of("sweep-dense-60");
  RunResult slow = decoded(9, 100);
  RunResult fast = decoded(11, 100);
  RunResult other = decoded(9.5, 100);
  slow.plan_key = fast.plan_key = "a";
  other.plan_key = "b";
  runs.arms = {{arm("hypura", "hypura"), {slow}}, {arm("hypura", "same"), {fast}}, {arm("hypura", "other"), {other}}};
  const Evaluation evaluation = evaluate(std::move(runs), {}, everything());
  ASSERT_TRUE(evaluation.sweep);
  EXPECT_EQ(evaluation.sweep->best, "other");
  EXPECT_EQ(evaluation.sweep->same, 1);
  EXPECT_GT(evaluation.sweep->share, 1);
}

TEST(Evaluate, HoldsTheAutomaticPlanAgainstTheBestSetByHand) {
  ScenarioRuns runs = scenario_of("sweep-dense-60");
  runs.arms = {{arm("hypura", "hypura"), {decoded(9.5, 100)}},
               {arm("hypura", "small passes"), {decoded(10, 100)}},
               {arm("hypura", "impossible"), {failed()}},
               {arm("hypura", "large passes"), {decoded(8, 100)}}};
  const Evaluation evaluation = evaluate(std::move(runs), {}, everything());
  ASSERT_TRUE(evaluation.sweep);
  EXPECT_EQ(evaluation.sweep->best, "small passes");
  // A token read, at 512 a second, and one made, at 9.5 and at 10.
  EXPECT_NEAR(evaluation.sweep->share, (1 / 512.0 + 1 / 10.0) / (1 / 512.0 + 1 / 9.5), 1e-12);
  EXPECT_EQ(evaluation.sweep->impossible, 1);
  EXPECT_FALSE(evaluation.verdicts[0].passed());
}

TEST(Report, TellsHowManyDraftsWereRight) {
  Report report;
  report.capabilities = everything();
  ScenarioRuns twice = two_draft_arms("draft-dense", 1.5);
  twice.arms[1].runs.push_back(twice.arms[1].runs.front());
  report.evaluations.push_back(evaluate(std::move(twice), {}, report.capabilities));
  const std::string text = markdown_report(report);
  EXPECT_NE(text.find("## Drafts"), std::string::npos);
  EXPECT_NE(
      text.find("| without drafts: 0.50 (0.50..0.50) | with drafts: 1.50 (1.50..1.50) | 3.000 | ≥ 2.00: **pass** | "
                "100 of 176 |"),
      std::string::npos)
      << text;
  EXPECT_EQ(text.find("## Generator"), std::string::npos);
  EXPECT_NE(json_report(report).find("\"right\": 100"), std::string::npos);
}

TEST(Report, NamesFailuresAndWhatIsMissing) {
  ScenarioRuns runs = three_arms("moe35");
  runs.arms[0].runs[1] = failed();
  Report report;
  report.capabilities = everything();
  report.capabilities.drop_caches = false;
  report.capabilities.no_drop_caches = "no root";
  report.evaluations.push_back(evaluate(std::move(runs), {}, report.capabilities));
  const std::string text = markdown_report(report);
  EXPECT_NE(text.find("Missing: no root: runs do not start"), std::string::npos);
  EXPECT_NE(text.find("- moe35, plain, round 2: killed"), std::string::npos);
  EXPECT_NE(text.find("**pass**"), std::string::npos);
  EXPECT_NE(json_report(report).find("\"passed\": true"), std::string::npos);
}

}  // namespace
}  // namespace hypura::bench
