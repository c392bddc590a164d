#include "bench/report/figures.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

// Ten tokens at `speed` that read `bytes` each.
RunResult run_at(double speed, uint64_t bytes) {
  RunResult run;
  run.decode = {10, 10 / speed, bytes * 10, {}, 0};
  run.prefill = {512, 2.0, 1000, {}, 0};
  run.first_token_seconds = 4;
  run.process_peak = 2000;
  return run;
}

RunResult failed(const std::string& why) {
  RunResult run;
  run.error = why;
  return run;
}

ArmRuns arm(const std::string& engine, const std::string& title, std::vector<RunResult> runs) {
  RunSpec spec;
  spec.engine = engine;
  spec.prompt_tokens = 512;
  return {{title, spec}, std::move(runs)};
}

TEST(BenchFigures, AreMediansAndRanges) {
  const BenchFigures figures =
      bench_figures({{arm("hypura", "hypura", {run_at(5, 100), run_at(4, 120), run_at(6, 90)})}, {}});
  const ArmFigures& ours = figures.arms.at(0);
  EXPECT_DOUBLE_EQ(ours.decode->median, 5);
  EXPECT_DOUBLE_EQ(ours.decode->low, 4);
  EXPECT_DOUBLE_EQ(ours.prefill->median, 256);
  EXPECT_DOUBLE_EQ(ours.bytes_per_token->high, 120);
  EXPECT_FALSE(ours.cgroup_peak);
  EXPECT_FALSE(figures.ratios.decode);
  EXPECT_FALSE(figures.hit_rate);
  EXPECT_FALSE(figures.bound);
  EXPECT_FALSE(figures.token_split);
  EXPECT_FALSE(figures.prediction);
}

TEST(BenchFigures, RatiosAreByTheBestPlainArm) {
  RunResult slow_start = run_at(2, 100);
  slow_start.first_token_seconds = 12;
  RunResult quick_start = run_at(1, 100);
  quick_start.first_token_seconds = 6;
  const BenchFigures figures =
      bench_figures({{arm("hypura", "hypura", {run_at(5, 100)}), arm("plain", "plain", {slow_start}),
                      arm("plain", "plain, 128", {quick_start})},
                     {}});
  EXPECT_DOUBLE_EQ(*figures.ratios.decode, 2.5);
  EXPECT_DOUBLE_EQ(*figures.ratios.first_token, 1.5);  // 6 s by 4 s: better is above 1 here too
}

TEST(BenchFigures, ABaselineThatFailedHasNoRatio) {
  const BenchFigures figures =
      bench_figures({{arm("hypura", "hypura", {run_at(5, 100)}), arm("plain", "plain", {failed("killed")})}, {}});
  EXPECT_FALSE(figures.ratios.decode);
  EXPECT_FALSE(figures.arms[1].decode);
  EXPECT_EQ(figures.arms[1].failures, std::vector<std::string>{"killed"});
}

TEST(BenchFigures, EachRoundIsHeldAgainstItsOwnDisk) {
  const BenchFigures figures =
      bench_figures({{arm("hypura", "hypura", {run_at(5, 100), run_at(4, 100), run_at(6, 100)})},
                     {{1000, {}}, {500, {}}, {800, {}}}});
  ASSERT_TRUE(figures.bound);
  // Possible: 10, 5 and 8 tok/s; reached: 5, 4 and 6.
  EXPECT_DOUBLE_EQ(figures.bound->tokens_per_second, 8);
  EXPECT_DOUBLE_EQ(figures.bound->share, 0.75);
  EXPECT_FALSE(figures.bound->by_compute);
  EXPECT_DOUBLE_EQ(figures.bound->disk_bytes_per_second.median, 800);
}

TEST(BenchFigures, ComputingLimitsWhereThePlanSaysSo) {
  RunResult run = run_at(5, 100);
  run.predicted.known = true;
  run.predicted.bound_by = "computing";
  run.predicted.bound_tokens_per_second = 6.25;
  const BenchFigures figures = bench_figures({{arm("hypura", "hypura", {run})}, {{1000, {}}}});
  ASSERT_TRUE(figures.bound);
  EXPECT_TRUE(figures.bound->by_compute);
  EXPECT_DOUBLE_EQ(figures.bound->share, 0.8);
}

TEST(BenchFigures, AModelThatIsNotReadHasNoBoundByTheDisk) {
  EXPECT_FALSE(bench_figures({{arm("hypura", "hypura", {run_at(5, 0)})}, {{1000, {}}}}).bound);
}

TEST(BenchFigures, PartsOfTheTimeAreOneRunsAndAddUp) {
  RunResult middle = run_at(5, 100);
  middle.decode.split = {1.0, 0.5, 0.3, 0.2};
  middle.decode.disk_busy_seconds = 1.6;
  middle.streamed_bytes = 3200;
  middle.expert_lookups = 100;
  middle.expert_hits = 60;
  RunResult fast = run_at(50, 100);
  fast.decode.split = {0.1, 0.05, 0.03, 0.02};
  const BenchFigures figures = bench_figures({{arm("hypura", "hypura", {fast, middle, run_at(4, 100)})}, {}});
  ASSERT_TRUE(figures.token_split);
  EXPECT_DOUBLE_EQ(figures.token_split->sum(), 0.2);
  EXPECT_DOUBLE_EQ(figures.token_split->io_wait, 0.1);
  EXPECT_DOUBLE_EQ(figures.hit_rate->median, 0.6);
  EXPECT_DOUBLE_EQ(figures.disk_rate->median, 2000);
  EXPECT_DOUBLE_EQ(figures.disk_busy->median, 0.8);
}

TEST(BenchFigures, HitsInVramAreAShareOfAll) {
  RunResult run = run_at(5, 100);
  run.expert_lookups = run.gpu_expert_lookups = 100;
  run.expert_hits = 90;
  EXPECT_FALSE(bench_figures({{arm("hypura", "hypura", {run_at(5, 100)})}, {}}).gpu_hit_rate);
  run.gpu_expert_hits = 75;
  run.gpu_upload_bytes = 3000 * run.decode.tokens;
  run.gpu_download_bytes = 1000 * run.decode.tokens;
  const BenchFigures figures = bench_figures({{arm("hypura", "hypura", {run})}, {}});
  EXPECT_DOUBLE_EQ(figures.hit_rate->median, 0.9);
  EXPECT_DOUBLE_EQ(figures.gpu_hit_rate->median, 0.75);
  EXPECT_DOUBLE_EQ(figures.gpu_bytes->median, 4000);
}

TEST(BenchFigures, DraftsAreThoseOfAllRounds) {
  RunResult run = run_at(5, 100);
  EXPECT_FALSE(bench_figures({{arm("hypura", "hypura", {run})}, {}}).drafts);
  run.drafted_tokens = 44;
  run.accepted_draft_tokens = 25;
  RunResult other = run_at(4, 100);
  other.drafted_tokens = 6;
  const BenchFigures figures = bench_figures({{arm("hypura", "hypura", {run, failed("killed"), other})}, {}});
  ASSERT_TRUE(figures.drafts);
  EXPECT_EQ(figures.drafts->drafted, 50);
  EXPECT_EQ(figures.drafts->accepted, 25);
}

TEST(BenchFigures, ThePredictionIsHeldAgainstTheMeasurement) {
  RunResult run = run_at(5, 100);
  run.expert_lookups = 10;
  run.expert_hits = 5;
  run.predicted.known = true;
  run.predicted.decode_tokens_per_second = 4;
  run.predicted.memory_peak = 2100;
  run.predicted.prefill512_seconds = 1.6;
  run.predicted.bytes_per_token = 110;
  run.predicted.hit_rate = 0.6;
  run.predicted.hit_rate_source = "prior";
  const BenchFigures figures = bench_figures({{arm("hypura", "hypura", {run})}, {}});
  ASSERT_TRUE(figures.prediction);
  EXPECT_NEAR(figures.prediction->decode.error, -0.2, 1e-12);
  EXPECT_NEAR(figures.prediction->memory_peak.error, 0.05, 1e-12);
  EXPECT_NEAR(figures.prediction->prefill->predicted, 320, 1e-9);
  EXPECT_NEAR(figures.prediction->bytes_per_token->error, 0.1, 1e-12);
  EXPECT_NEAR(figures.prediction->hit_rate->error, 0.2, 1e-12);
}

TEST(BenchFigures, APromptOfAnotherLengthIsNotPredicted) {
  RunResult run = run_at(5, 100);
  run.predicted.known = true;
  run.predicted.prefill512_seconds = 1.6;
  ArmRuns ours = arm("hypura", "hypura", {run});
  ours.arm.spec.prompt_tokens = 100;
  EXPECT_FALSE(bench_figures({{ours}, {}}).prediction->prefill);
}

}  // namespace
}  // namespace hypura
