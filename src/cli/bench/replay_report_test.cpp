#include "cli/bench/replay_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/trace_file.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

using testing::HasSubstr;

// One layer of four experts that chooses 0, 0, 1, 0, 2 and hit twice.
RoutingTrace small_trace() {
  RoutingTrace trace;
  trace.model = "small";
  trace.layers = trace.used = 1;
  trace.experts = 4;
  trace.slots = 2;
  trace.spare = 1;
  trace.passes = {{1, true, 0}, {1, true, 1}, {1, true, 0}, {1, true, 1}, {1, true, 0}};
  trace.chosen = {0, 0, 1, 0, 2};
  return trace;
}

TEST(ReplayReport, HasARowForEachNumberOfSlots) {
  const ReplayReport report = replay_report(small_trace(), {3, 2, 3});
  ASSERT_EQ(report.rows.size(), 2U);
  EXPECT_EQ(report.rows[0].slots, 2U);
  EXPECT_EQ(report.rows[0].quotas[0].hits, 1U);  // LRU forgets 0 for 1
  EXPECT_EQ(report.rows[0].quotas[2].hits, 2U);  // the live policy does not
  EXPECT_EQ(report.rows[1].quotas[0].hits, 2U);
  EXPECT_EQ(report.recorded->hits, 2U);
  EXPECT_EQ(report.replayed->hits, 2U);
}

TEST(ReplayReport, TakesSharesOfAllExpertsAndTheRunsOwnSlots) {
  RoutingTrace trace = small_trace();
  trace.experts = 80;
  trace.slots = 33;
  std::vector<uint32_t> slots;
  for (const ReplayRow& row : replay_report(trace, {}).rows) {
    slots.push_back(row.slots);
  }
  EXPECT_EQ(slots, (std::vector<uint32_t>{10, 20, 30, 33, 40, 60}));
}

TEST(ReplayReport, IsATableForPeople) {
  const RoutingTrace trace = small_trace();
  const std::string text = replay_text(trace, replay_report(trace, {2}));
  EXPECT_THAT(text, HasSubstr("small: 1 layers of 4 experts, 1 used; 5 decode tokens, 0 tokens of prompts"));
  EXPECT_THAT(text, HasSubstr("recorded with 2 slots: 40.00 % hit; replayed with the same policy: 40.00 %"));
  EXPECT_THAT(text, HasSubstr("      2    50.0 % |  20.00  40.00  40.00  40.00 |  20.00  40.00  40.00\n"));
}

// Two layers of four experts: what the second chooses follows from the first, and each is chosen equally often.
TEST(ReplayReport, TellsWhatPredictionsWouldHaveBeenWorth) {
  RoutingTrace trace = small_trace();
  trace.layers = 2;
  trace.passes.assign(40, {1, true, 0});
  trace.chosen.clear();
  for (uint16_t token = 0; token < 40; ++token) {
    const auto first = static_cast<uint16_t>((token * token + token / 4) % 4);
    trace.chosen.insert(trace.chosen.end(), {first, static_cast<uint16_t>(3 - first)});
  }
  const ReplayReport report = replay_report(trace, {4});
  ASSERT_EQ(report.rows[0].predictions.size(), 2U);
  const PredictionResult& popular = report.rows[0].predictions[0].result;
  const PredictionResult& coactivation = report.rows[0].predictions[1].result;
  EXPECT_GT(coactivation.recall(coactivation.full), 0.8);
  EXPECT_LT(popular.recall(popular.full), 0.6);
  EXPECT_GT(coactivation.full.useful, popular.full.useful);
  EXPECT_THAT(replay_text(trace, report), HasSubstr("      4  coactivation | "));
  const auto json = nlohmann::json::parse(replay_json(trace, report));
  EXPECT_EQ(json["predictions"][1]["predictor"], "coactivation");
  EXPECT_EQ(json["predictions"][1]["useful_reads"], coactivation.full.useful);
  EXPECT_EQ(json["guesses"][1]["guessable_misses"], coactivation.predictable) << "the older names";
  EXPECT_EQ(replay_text(small_trace(), replay_report(small_trace(), {2})).find("Predictions"), std::string::npos)
      << "one layer has no next";
}

TEST(ReplayReport, SaysWhenThereIsNothingToCompareWith) {
  RoutingTrace trace = small_trace();
  trace.earlier = 7;
  EXPECT_THAT(replay_text(trace, replay_report(trace, {2})), HasSubstr("7 earlier tokens were not kept"));
  trace.slots = trace.spare = 0;
  EXPECT_THAT(replay_text(trace, replay_report(trace, {2})), HasSubstr("no counters to compare with"));
}

TEST(ReplayCommand, PrintsTheTableAndWritesTheJson) {
  const TempDir dir;
  ReplayOptions options;
  options.trace = dir.path() / "a.trace";
  options.json = dir.path() / "a.json";
  ASSERT_TRUE(write_routing_trace(small_trace(), options.trace));
  testing::internal::CaptureStdout();
  const auto code = replay_command(options);
  EXPECT_THAT(testing::internal::GetCapturedStdout(), HasSubstr("Belady"));
  ASSERT_TRUE(code) << code.error().message;
  EXPECT_EQ(*code, 0);
  std::ifstream file(*options.json);
  const auto json = nlohmann::json::parse(file);
  EXPECT_EQ(json["recorded"]["hits"], 2);
  EXPECT_EQ(json["results"].size(), 3U * 7U);  // 1, 2 and 3 of 4 experts; the run's own 2 is among them
  EXPECT_EQ(json["results"][0]["policy"], "lru");
}

TEST(ReplayCommand, RefusesWhatItCannotUse) {
  const TempDir dir;
  ReplayOptions options;
  options.trace = dir.path() / "a.trace";
  EXPECT_EQ(replay_command(options).error().code, ErrorCode::kIo);
  RoutingTrace trace = small_trace();
  for (RoutingPass& pass : trace.passes) {
    pass.decode = false;
  }
  ASSERT_TRUE(write_routing_trace(trace, options.trace));
  EXPECT_THAT(replay_command(options).error().message, HasSubstr("no decoded token"));
  ASSERT_TRUE(write_routing_trace(small_trace(), options.trace));
  options.json = dir.path() / "no" / "folder.json";
  EXPECT_EQ(replay_command(options).error().code, ErrorCode::kIo);
}

TEST(TraceFile, NeedsAFolder) {
  const TempDir dir;
  RunOptions options;
  EXPECT_TRUE(check_trace_path(options));
  options.trace = "here.trace";
  EXPECT_TRUE(check_trace_path(options));
  options.trace = dir.path() / "there.trace";
  EXPECT_TRUE(check_trace_path(options));
  options.trace = dir.path() / "no" / "there.trace";
  EXPECT_EQ(check_trace_path(options).error().code, ErrorCode::kUsage);
}

}  // namespace
}  // namespace hypura
