#include "bench/report/report.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "bench/report/plot.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

RunResult run_at(double speed) {
  RunResult run;
  run.load.seconds = 1;
  run.decode = {10, 10 / speed, 10'000'000, {}, 0};
  run.prefill = {512, 2.0, 1'000'000, {}, 0};
  run.first_token_seconds = 3;
  run.process_peak = 38'000'000;
  return run;
}

// Hypura at 5 tok/s against plain llama.cpp at 2.
BenchReport some_report() {
  RunResult ours = run_at(5);
  ours.plan = "a plan";
  ours.mode = "expert-streaming";
  ours.decode.split = {1.0, 0.5, 0.3, 0.2};
  ours.decode.disk_busy_seconds = 1.5;
  ours.streamed_bytes = 10'000'000;
  ours.expert_lookups = 1000;
  ours.expert_hits = 613;
  ours.predicted.known = true;
  ours.predicted.decode_tokens_per_second = 4.5;
  ours.predicted.memory_peak = 39'000'000;
  RunSpec spec;
  spec.engine = "hypura";
  spec.prompt_tokens = 512;
  BenchReport report;
  report.options.memory = 40 * kMiB;
  report.options.model = "m.gguf";
  report.options.threads = 2;
  report.options.repeat = 1;
  report.model_name = "A \"Model\"";
  report.model_bytes = 60 * kMiB;
  report.machine = {"a processor", 2, 8 * kGiB, "Linux 6", 0.1};
  report.limits.cgroup = 104 * kMiB;
  report.limits.sentence = "held";
  report.uncontrolled = {"the page cache"};
  report.rounds.arms = {{{"hypura", spec}, {ours}}};
  for (Arm& arm : plain_arms(spec, nullptr)) {
    report.rounds.arms.push_back({std::move(arm), {run_at(2)}});
  }
  report.rounds.disk = {{8'000'000, {kMiB, 8}}};
  report.figures = bench_figures(report.rounds);
  return report;
}

TEST(BenchTable, HasAColumnForEachArm) {
  const std::string table = bench_table(some_report());
  EXPECT_THAT(table,
              HasSubstr("A \"Model\", 60.0 MiB, in 40.0 MiB; 512 prompt tokens, then 64 tokens; 1 round; 2 threads"));
  EXPECT_THAT(table, HasSubstr("                          hypura             plain              x best plain\n"
                               "decode, tok/s             5.00 (5.00..5.00)  2.00 (2.00..2.00)  2.50\n"));
  EXPECT_THAT(table, HasSubstr("experts in memory         61.3 (61.3..61.3) %"));
  EXPECT_THAT(table, HasSubstr("a token's time            200 ms: 50 % waiting for the disk, 25 %"));
  EXPECT_THAT(table,
              HasSubstr("bound                     8.00 tok/s, set by the disk; the disk gives 0.01 GB/s, a token "
                        "reads 1.00 MB; 0.62 of it was reached"));
  EXPECT_THAT(table, HasSubstr("decode 4.50 tok/s (-10.0 %)"));
  EXPECT_THAT(table, HasSubstr("not controlled: the page cache\n"));
}

TEST(BenchTable, OfHypuraAloneHasNoRatio) {
  BenchReport report = some_report();
  report.rounds.arms.pop_back();
  report.figures = bench_figures(report.rounds);
  EXPECT_THAT(bench_table(report), Not(HasSubstr("best plain")));
}

TEST(BenchTable, TellsWhatOfAGpuEachTook) {
  BenchReport report = some_report();
  EXPECT_THAT(bench_table(report), Not(HasSubstr("VRAM")));
  report.plain_splits = {"CUDA0,CUDA1", true, {4 * kGiB, 2 * kGiB}, {{"-ngl 3", 3, 0}}};
  report.rounds.arms[0].runs[0].device_bytes = 900'000'000;
  report.rounds.arms[1].runs[0].device_bytes = 800'000'000;
  report.figures = bench_figures(report.rounds);
  EXPECT_THAT(
      bench_table(report),
      AllOf(HasSubstr("\nVRAM: each may take 4.0 GiB of CUDA0's and 2.0 GiB of CUDA1's besides what a driver takes\n"),
            HasSubstr("VRAM taken, MB            900 (900..900)     800 (800..800)")));
  const auto json = nlohmann::json::parse(bench_json(report));
  EXPECT_EQ(json["settings"]["baseline_vram"][1], 2 * kGiB);
  EXPECT_EQ(json["arms"][1]["vram_peak"]["median"], 8e8);
  report.plain_splits.splits.clear();
  EXPECT_THAT(bench_table(report), HasSubstr("a driver takes; plain llama.cpp fits in no way"));
}

TEST(BenchTable, NamesRunsThatFailed) {
  BenchReport report = some_report();
  report.rounds.arms[1].runs[0].error = "killed by the kernel";
  report.figures = bench_figures(report.rounds);
  EXPECT_THAT(bench_table(report),
              AllOf(HasSubstr("failed: plain: killed by the kernel\n"), HasSubstr("5.00 (5.00..5.00)  n/a")));
}

TEST(BenchTable, TellsHowManyDraftsWereRight) {
  BenchReport report = some_report();
  EXPECT_THAT(bench_table(report), Not(HasSubstr("draft")));
  report.options.draft = {"/models/small.gguf", true};
  EXPECT_THAT(bench_table(report), AllOf(HasSubstr("; 2 threads; drafts by n-grams and small.gguf\n"),
                                         HasSubstr("drafts accepted           none were made\n")));
  report.rounds.arms[0].runs[0].drafted_tokens = 88;
  report.rounds.arms[0].runs[0].accepted_draft_tokens = 50;
  report.figures = bench_figures(report.rounds);
  report.options.draft.mtp = true;
  EXPECT_THAT(bench_table(report), HasSubstr("; drafts by n-grams, MTP and small.gguf\n"));
  report.options.draft.tokens = 4;
  EXPECT_THAT(bench_table(report), HasSubstr("; drafts of 4 by n-grams, MTP and small.gguf\n"));
  report.options.draft = {"/models/small.gguf"};
  EXPECT_THAT(bench_table(report), AllOf(HasSubstr("; 2 threads; drafts by small.gguf\n"),
                                         HasSubstr("drafts accepted           50 of 88\n")));
}

TEST(BenchJson, HoldsDrafts) {
  BenchReport report = some_report();
  const auto without = nlohmann::json::parse(bench_json(report));
  EXPECT_TRUE(without["settings"]["draft"].is_null());
  EXPECT_EQ(without["settings"]["draft_ngrams"], false);
  EXPECT_EQ(without["settings"]["draft_mtp"], false);
  EXPECT_TRUE(without["settings"]["draft_tokens"].is_null());
  EXPECT_TRUE(without["drafts"].is_null());
  report.options.draft.model = "small.gguf";
  report.rounds.arms[0].runs[0].drafted_tokens = 88;
  report.rounds.arms[0].runs[0].accepted_draft_tokens = 50;
  report.figures = bench_figures(report.rounds);
  const auto json = nlohmann::json::parse(bench_json(report));
  EXPECT_EQ(json["settings"]["draft"], "small.gguf");
  EXPECT_EQ(json["drafts"]["drafted"], 88);
  EXPECT_EQ(json["drafts"]["accepted"], 50);
  EXPECT_EQ(json["drafts"]["right"], 50) << "the older name";
  EXPECT_EQ(json["arms"][0]["runs"][0]["accepted_draft_tokens"], 50);
  EXPECT_EQ(json["arms"][0]["runs"][0]["right_drafted_tokens"], 50) << "the older name";
}

TEST(BenchJson, HoldsFiguresAndEveryRun) {
  const auto json = nlohmann::json::parse(bench_json(some_report()));
  EXPECT_EQ(json["settings"]["memory"], 40 * kMiB);
  EXPECT_EQ(json["settings"]["cgroup_limit"], 104 * kMiB);
  EXPECT_NEAR(json["ratios"]["decode"].get<double>(), 2.5, 1e-9);
  EXPECT_NEAR(json["bound"]["share"].get<double>(), 0.625, 1e-9);
  EXPECT_NEAR(json["token_seconds"]["io_wait"].get<double>(), 0.1, 1e-9);
  EXPECT_NEAR(json["prediction"]["decode_tokens_per_second"]["error"].get<double>(), -0.1, 1e-9);
  EXPECT_TRUE(json["prediction"]["prefill_tokens_per_second"].is_null());
  EXPECT_EQ(json["arms"][0]["runs"][0]["expert_hits"], 613);
  EXPECT_EQ(json["arms"][1]["engine"], "plain");
  EXPECT_TRUE(json["arms"][1]["readahead_kib"].is_null());
}

TEST(PlotScript, NamesWhatIsDrawn) {
  const std::string script = plot_script(some_report(), "out \"1\".svg");
  EXPECT_THAT(script, HasSubstr("set terminal svg"));
  EXPECT_THAT(script, HasSubstr("set output \"out \\\"1\\\".svg\"\n"));
  EXPECT_THAT(script, HasSubstr("\"A \\\"Model\\\" (60.0 MiB) in 40.0 MiB\""));
  EXPECT_THAT(script, HasSubstr("0 5 5 5 0 \"5.00\"\n1 2 2 2 1 \"2.00\"\n"));
  EXPECT_THAT(script, HasSubstr("Where the time goes"));
  EXPECT_THAT(script, HasSubstr("predicted"));
  EXPECT_THAT(plot_script(some_report(), "x.png"), HasSubstr("set terminal pngcairo"));
}

TEST(PlotScript, LeavesOutWhatIsNotKnown) {
  BenchReport report = some_report();
  report.rounds.arms[0].runs[0].predicted = {};
  report.rounds.arms[0].runs[0].decode.split = {};
  report.figures = bench_figures(report.rounds);
  EXPECT_THAT(plot_script(report, "x.svg"), AllOf(Not(HasSubstr("predicted")), Not(HasSubstr("Where the time goes"))));
}

TEST(DrawPlot, MakesAPictureWhereGnuplotIs) {
  const auto gnuplot = find_gnuplot();
  if (!gnuplot) {
    EXPECT_THAT(gnuplot.error().message, AllOf(HasSubstr("--plot"), HasSubstr("gnuplot-nox")));
    GTEST_SKIP() << gnuplot.error().message;
  }
  for (const char* name : {"plot.svg", "plot.png"}) {
    const auto picture = std::filesystem::temp_directory_path() / fmt::format("hypura-{}", name);
    std::filesystem::remove(picture);
    const Status drawn = draw_plot(*gnuplot, plot_script(some_report(), picture), picture);
    EXPECT_TRUE(drawn) << drawn.error().message;
    EXPECT_GT(std::filesystem::file_size(picture), 1000);
    std::filesystem::remove(picture);
  }
}

TEST(DrawPlot, SaysWhenThereIsNoPicture) {
  const Status status = draw_plot("/bin/false", "a script", "/no/such/folder/plot.svg");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_THAT(status.error().message, HasSubstr("/no/such/folder/plot.svg"));
}

}  // namespace
}  // namespace hypura
