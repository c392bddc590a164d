#include "cli/statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "generate/engine/counters.h"
#include "support/units.h"

namespace hypura {
namespace {

EngineStats some_stats() {
  EngineStats stats;
  stats.prompt_tokens = 9;
  stats.prompt_seconds = 0.075;
  stats.decoded_tokens = 178;
  stats.answer_tokens = 179;
  stats.decode_seconds = 178 / 35.2;
  stats.expert_lookups = 1000;
  stats.expert_hits = 613;
  stats.decode_bytes = 178 * (kMiB + 205 * kKiB);
  stats.memory_peak = 38 * kMiB + 103 * kKiB;
  return stats;
}

Plan some_plan() {
  Plan plan;
  plan.placement.experts.streamed = true;
  plan.sentence = "a plan";
  plan.why = "a reason";
  plan.budget = 40 * kMiB;
  plan.process_overhead = 64 * kMiB;
  plan.ledger = {{Purpose::kResidentWeights, 30 * kMiB}, {Purpose::kKvCache, 512 * kKiB}};
  plan.prediction.tokens_per_second = 12.5;
  plan.prediction.bound_tokens_per_second = 20;
  plan.placement.ubatch = 128;
  return plan;
}

TEST(StatisticsLine, SaysWhatWasDone) {
  EXPECT_EQ(statistics_line(some_stats(), some_plan()),
            "179 tokens, 35.2 tok/s; prompt 9 tokens, 120 tok/s; experts 61.3 % hit; 1.2 MiB/token read; "
            "memory 38.1 of 104.0 MiB (40.0 MiB for the model, 64.0 MiB for the program)");
}

TEST(StatisticsLine, SaysWhichTierHadTheExperts) {
  EngineStats stats = some_stats();
  stats.gpu_expert_lookups = 1000;
  stats.gpu_expert_hits = 400;
  EXPECT_THAT(statistics_line(stats, some_plan()), testing::HasSubstr("; experts 40.0 % in VRAM, 21.3 % in RAM; "));
  EXPECT_EQ(nlohmann::json::parse(statistics_json(stats, some_plan(), "m", std::nullopt))["gpu_expert_hit_rate"], 0.4);
}

TEST(StatisticsJson, SaysWhatShareOfTheTimeTheLinkWasBusy) {
  EngineStats stats = some_stats();
  const auto busy = [&] {
    return nlohmann::json::parse(statistics_json(stats, some_plan(), "m", std::nullopt))["gpu_link_busy"];
  };
  EXPECT_TRUE(busy().is_null()) << "not measured";
  stats.prompt_seconds = 1;
  stats.decode_seconds = 3;
  stats.gpu_link_busy_seconds = 1;
  EXPECT_EQ(busy(), 0.25);
  stats.gpu_link_busy_seconds = 5;
  EXPECT_EQ(busy(), 1) << "before the first pass as well";
}

TEST(StatisticsLine, SaysHowManyDraftsWereRight) {
  EngineStats stats = some_stats();
  stats.drafted_tokens = 40;
  stats.accepted_draft_tokens = 31;
  EXPECT_THAT(statistics_line(stats, some_plan()),
              testing::StartsWith("179 tokens, 35.2 tok/s; drafts 31 of 40 accepted; "));
}

TEST(CopiesLine, SaysHowMuchCameFromEach) {
  EngineStats stats = some_stats();
  Plan plan = some_plan();
  EXPECT_EQ(copies_line(stats, plan), "");
  plan.copies = {"a.gguf", "/disk2/a.gguf"};
  stats.copy_bytes = {0, 0};
  EXPECT_EQ(copies_line(stats, plan), "") << "nothing was read";
  stats.copy_bytes = {62 * kMiB, 38 * kMiB};
  EXPECT_EQ(copies_line(stats, plan), "read from: a.gguf 62 %, /disk2/a.gguf 38 %");
}

TEST(StatisticsJson, HoldsCopies) {
  EngineStats stats = some_stats();
  Plan plan = some_plan();
  EXPECT_TRUE(nlohmann::json::parse(statistics_json(stats, plan, "m", {}))["copies"].empty());
  plan.copies = {"a.gguf", "b"};
  stats.copy_bytes = {7, 8};
  const auto json = nlohmann::json::parse(statistics_json(stats, plan, "m", {}));
  EXPECT_EQ(json["copies"], nlohmann::json::parse(R"([{"path":"a.gguf","bytes":7},{"path":"b","bytes":8}])"));
}

TEST(StatisticsJson, HoldsTheCountersOfEachGpu) {
  EngineStats stats = some_stats();
  EXPECT_TRUE(nlohmann::json::parse(statistics_json(stats, some_plan(), "m", {}))["gpus"].empty());
  stats.gpus = {{"CUDA0", 20, 15}, {"CUDA1", 8, 4}};
  const auto json = nlohmann::json::parse(statistics_json(stats, some_plan(), "m", {}))["gpus"];
  ASSERT_EQ(json.size(), 2U);
  EXPECT_EQ(json[0].size(), 1 + gpu_counters().size());
  EXPECT_EQ(json[1]["name"], "CUDA1");
  EXPECT_EQ(json[1]["expert_lookups"], 8);
  EXPECT_EQ(json[1]["expert_hits"], 4);
}

TEST(WorkersLine, SaysWhatEachDid) {
  EngineStats stats;
  Plan plan;
  plan.placement.experts.streamed = true;
  EXPECT_EQ(workers_line(stats, plan), "");
  WorkerCounters one;
  one.name = "127.0.0.1:52525";
  one.joined = 1;
  one.experts = 1200;
  one.expert_hits = 300;
  one.wait_seconds = 0.84;
  WorkerCounters other;
  other.name = "box:1";
  other.losses = 1;
  stats.workers = {one, other};
  EXPECT_EQ(workers_line(stats, plan),
            "workers: 127.0.0.1:52525 1200 experts, 25.0 % hit, waited 0.84 s; "
            "box:1 0 experts, lost 1 time, not there");
  plan.placement.experts.streamed = false;
  EXPECT_THAT(workers_line(stats, plan), testing::StartsWith("workers: 127.0.0.1:52525 1200 parts, 25.0 % hit"));
  stats.workers = {one};
  stats.workers.front().experts = stats.workers.front().expert_hits = 0;
  stats.workers.front().asks = 40;
  stats.workers.front().sent_bytes = stats.workers.front().received_bytes = 2048;
  plan.workers.resize(1);
  plan.workers.front().layers = 12;
  EXPECT_EQ(workers_line(stats, plan),
            "workers: 127.0.0.1:52525 40 visits, 2.0 KiB there, 2.0 KiB back, waited 0.84 s");
}

TEST(StatisticsJson, HoldsTheCountersOfEachWorker) {
  EngineStats stats = some_stats();
  EXPECT_TRUE(nlohmann::json::parse(statistics_json(stats, some_plan(), "m", {}))["workers"].empty());
  stats.workers.emplace_back().name = "box:1";
  stats.workers.back().asks = 7;
  const auto json = nlohmann::json::parse(statistics_json(stats, some_plan(), "m", {}))["workers"];
  ASSERT_EQ(json.size(), 1U);
  EXPECT_EQ(json[0].size(), 1 + worker_counters().size());
  EXPECT_EQ(json[0]["name"], "box:1");
  EXPECT_EQ(json[0]["asks"], 7);
}

TEST(StatisticsLine, NeverDividesByZero) {
  EXPECT_EQ(statistics_line({}, {}),
            "0 tokens, n/a tok/s; prompt 0 tokens, n/a tok/s; experts n/a; n/a bytes/token read; memory 0 B");
}

TEST(StatisticsLine, ATokenOfThePromptsPassCounts) {
  EngineStats stats;
  stats.answer_tokens = 1;
  EXPECT_THAT(statistics_line(stats, {}), testing::StartsWith("1 token, n/a tok/s; "));
}

TEST(StatisticsLine, RatesKeepTheirDigits) {
  EngineStats stats;
  stats.answer_tokens = 2;
  stats.decoded_tokens = 1;
  stats.decode_seconds = 4;
  stats.memory_peak = 900 * kKiB;
  EXPECT_EQ(statistics_line(stats, some_plan()),
            "2 tokens, 0.25 tok/s; prompt 0 tokens, n/a tok/s; experts n/a; 0 B/token read; "
            "memory 900.0 KiB of 104.0 MiB (40.0 MiB for the model, 64.0 MiB for the program)");
}

TEST(StatisticsJson, HoldsCountersAndRates) {
  const auto json = nlohmann::json::parse(statistics_json(some_stats(), some_plan(), "m", StopReason::kLength));
  EXPECT_EQ(json["model"], "m");
  EXPECT_EQ(json["stop"], "length");
  EXPECT_EQ(json["decoded_tokens"], 178);
  EXPECT_EQ(json["expert_hits"], 613);
  EXPECT_NEAR(json["decode_tokens_per_second"].get<double>(), 35.2, 1e-9);
  EXPECT_NEAR(json["expert_hit_rate"].get<double>(), 0.613, 1e-12);
  EXPECT_EQ(json["budget"], 40 * kMiB);
  EXPECT_EQ(json["ledger"][1]["purpose"], "KV cache");
}

TEST(StatisticsJson, MissingRatesAreNullAndBadTextIsReplaced) {
  const std::string text = statistics_json({}, {}, "bad \xff name\n", std::nullopt);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  const auto json = nlohmann::json::parse(text);
  EXPECT_TRUE(json["stop"].is_null());
  EXPECT_TRUE(json["decode_tokens_per_second"].is_null());
  EXPECT_TRUE(json["expert_hit_rate"].is_null());
  EXPECT_TRUE(json["decode_bytes_per_token"].is_null());
}

TEST(LedgerTable, SumsUp) {
  EXPECT_EQ(ledger_table(some_plan()),
            "  resident weights     30.0 MiB\n"
            "  KV cache            512.0 KiB\n"
            "  sum                  30.5 MiB\n"
            "  budget               40.0 MiB\n"
            "  process overhead     64.0 MiB\n");
}

TEST(LedgerComparison, HasThePlanBesideWhatIsReserved) {
  const std::vector<LedgerLine> reserved = {{Purpose::kResidentWeights, 31 * kMiB},
                                            {Purpose::kRepackBuffer, kMiB},
                                            {Purpose::kKvCache, 512 * kKiB},
                                            {Purpose::kProcessOverhead, 63 * kMiB}};
  EXPECT_EQ(ledger_comparison(some_plan(), reserved),
            "                        planned     reserved\n"
            "  resident weights     30.0 MiB     31.0 MiB\n"
            "  KV cache            512.0 KiB    512.0 KiB\n"
            "  repack buffer             0 B      1.0 MiB\n"
            "  process overhead     64.0 MiB     63.0 MiB\n"
            "  sum                  94.5 MiB     95.5 MiB\n"
            "  budget 40.0 MiB, and 64.0 MiB of process overhead\n");
}

TEST(LedgerComparison, HasTheGpusMemoryByItself) {
  Plan plan = some_plan();
  plan.device.emplace().budget = 8 * kMiB;
  plan.ledger.push_back({Purpose::kKvCache, 2 * kMiB, "", Tier::kDevice});
  const std::vector<LedgerLine> reserved = {{Purpose::kResidentWeights, 30 * kMiB},
                                            {Purpose::kKvCache, 3 * kMiB, "", Tier::kDevice},
                                            {Purpose::kKvCache, 512 * kKiB},
                                            {Purpose::kProcessOverhead, 64 * kMiB}};
  const std::string table = ledger_comparison(plan, reserved);
  EXPECT_NE(table.find("  KV cache on the GPU      2.0 MiB      3.0 MiB\n"), std::string::npos) << table;
  EXPECT_NE(table.find("  sum on the GPU           2.0 MiB      3.0 MiB\n"), std::string::npos) << table;
  EXPECT_NE(table.find("  sum                     94.5 MiB     94.5 MiB\n"), std::string::npos) << table;
  EXPECT_NE(table.find("budget on the GPU 8.0 MiB"), std::string::npos) << table;
  EXPECT_NE(ledger_table(plan).find("  budget on the GPU        8.0 MiB\n"), std::string::npos) << ledger_table(plan);
}

}  // namespace
}  // namespace hypura
