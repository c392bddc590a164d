#include "server/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "server/fake_host_for_test.h"

namespace hypura {
namespace {

using testing::HasSubstr;
using testing::Not;

class Sink : public AnswerSink {
 public:
  int pieces = 0;
  int ends = 0;
  void on_piece(AnswerPiece) override { ++pieces; }
  void on_end(AnswerEnd) override { ++ends; }
};

class CountingExchange : public FakeExchange {
 public:
  using FakeExchange::FakeExchange;
  uint32_t prompt = 0;
  uint32_t answer = 0;
  void count_tokens(uint32_t more_prompt, uint32_t more_answer) override {
    prompt += more_prompt;
    answer += more_answer;
  }
};

TEST(Histogram, CountsUpToAndWithEachBound) {
  Histogram histogram({1, 2});
  for (const double waited : {0.5, 1.0, 1.5, 2.5, 3.0}) {
    histogram.observe(waited);
  }
  EXPECT_EQ(histogram.counts, (std::vector<uint64_t>{2, 1, 2}));
  EXPECT_EQ(histogram.count, 5U);
  EXPECT_DOUBLE_EQ(histogram.sum, 8.5);
}

TEST(Metrics, WatchAnswersOnTheirWay) {
  Metrics metrics;
  const auto exchange = std::make_shared<CountingExchange>("POST", "/api/chat");
  const auto sink = std::make_shared<Sink>();
  const auto watch = metrics.watch(exchange, sink);
  for (int i = 0; i < 3; ++i) {
    watch->on_piece({});
  }
  AnswerEnd end;
  end.stop = StopReason::kLength;
  end.prompt_tokens = 20;
  end.cached_prompt_tokens = 15;
  end.answer_tokens = 3;
  end.queued_seconds = 2;
  watch->on_end(end);
  EXPECT_EQ(sink->pieces, 3);
  EXPECT_EQ(sink->ends, 1);
  EXPECT_EQ(exchange->prompt, 20U);
  EXPECT_EQ(exchange->answer, 3U);
  const Metrics::Numbers numbers = metrics.numbers();
  EXPECT_EQ(numbers.first_token_seconds.count, 1U);
  EXPECT_EQ(numbers.between_token_seconds.count, 2U);
  EXPECT_EQ(numbers.queue_seconds.sum, 2);
  EXPECT_EQ(numbers.answers.at(StopReason::kLength), 1U);
  EXPECT_EQ(numbers.prompt_tokens, 20U);
  EXPECT_EQ(numbers.cached_tokens, 15U);
  EXPECT_EQ(numbers.answer_tokens, 3U);
}

TEST(Metrics, CountEmbeddings) {
  Metrics metrics;
  CountingExchange exchange("POST", "/api/embed");
  metrics.embedded(exchange, 7);
  metrics.embedded(exchange, 5);
  EXPECT_EQ(metrics.numbers().prompt_tokens, 12U);
  EXPECT_EQ(exchange.prompt, 12U);
}

TEST(MetricsText, HasRequestsAndHistograms) {
  Metrics metrics;
  metrics.answered("POST /api/chat", 200, 0.7);
  metrics.answered("POST /api/chat", 200, 7);
  metrics.answered("other \"x\"\\", 404, 0.001);
  const FakeHost host;
  const std::string text = prometheus(metrics, host);
  EXPECT_THAT(text, HasSubstr("# TYPE hypura_requests_total counter\n"));
  EXPECT_THAT(text, HasSubstr("hypura_requests_total{route=\"POST /api/chat\",status=\"200\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("hypura_requests_total{route=\"other \\\"x\\\"\\\\\",status=\"404\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE hypura_request_seconds histogram\n"));
  EXPECT_THAT(text, HasSubstr("hypura_request_seconds_bucket{le=\"0.5\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("hypura_request_seconds_bucket{le=\"1\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("hypura_request_seconds_bucket{le=\"+Inf\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("hypura_request_seconds_count 3\n"));
  EXPECT_THAT(text, HasSubstr("hypura_answer_tokens_total 0\n"));
  EXPECT_THAT(text, HasSubstr("hypura_model_loaded{model=\"stories:latest\"} 0\n"));
  EXPECT_THAT(text, Not(HasSubstr("hypura_memory_bytes")));
}

class BusyGenerator : public FakeGenerator {
 public:
  GeneratorStats stats() const override {
    GeneratorStats stats;
    stats.running = 2;
    stats.queued = 3;
    stats.engine.decoded_tokens = 100;
    stats.engine.decode_seconds = 4;
    stats.engine.decode_bytes = 1000;
    stats.engine.expert_lookups = 10;
    stats.engine.expert_hits = 9;
    stats.engine.experts_read_ahead = 8;
    stats.engine.experts_used_ahead = 7;
    stats.engine.experts_predicted = 40;
    stats.engine.experts_predicted_correct = 24;
    stats.engine.experts_predictable = 41;
    stats.engine.warm_bytes = 4000;
    stats.engine.drafted_tokens = 6;
    stats.engine.accepted_draft_tokens = 5;
    stats.engine.copy_bytes = {700, 300};
    stats.engine.gpus = {{"CUDA0", 20, 15}, {"CUDA1", 8, 4}};
    stats.engine.gpus[1].link_busy_seconds = stats.engine.gpu_link_busy_seconds = 1.5;
    stats.engine.workers = {{"box:1", 1, 6}};
    return stats;
  }
};

TEST(MetricsText, HasWhatTheLoadedModelDoes) {
  const Metrics metrics;
  FakeHost host;
  const auto generator = std::make_shared<BusyGenerator>();
  generator->plan_summary.ledger = {{Purpose::kExpertSlots, 4096}, {Purpose::kKvCache, 512}};
  generator->plan_summary.budget = 8192;
  host.generator = generator;
  host.lease(host.models()[0], {}, [](const Result<ModelLease>&) {});
  const std::string text = prometheus(metrics, host);
  EXPECT_THAT(text, HasSubstr("hypura_model_loaded{model=\"stories:latest\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("hypura_answers_running{model=\"stories:latest\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("hypura_answers_queued{model=\"stories:latest\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("hypura_decode_tokens_per_second{model=\"stories:latest\"} 25\n"));
  EXPECT_THAT(text, HasSubstr("hypura_expert_hits_total{model=\"stories:latest\"} 9\n"));
  EXPECT_THAT(text, HasSubstr("hypura_gpu_link_busy_seconds_total{model=\"stories:latest\"} 1.5\n"));
  EXPECT_THAT(text,
              HasSubstr("hypura_gpu_device_link_busy_seconds_total{model=\"stories:latest\",gpu=\"CUDA1\"} 1.5\n"));
  EXPECT_THAT(text, HasSubstr("{model=\"stories:latest\",tier=\"disk\",phase=\"decode\"} 1000\n"));
  EXPECT_THAT(text, HasSubstr("hypura_experts_read_ahead_total{model=\"stories:latest\"} 8\n"));
  EXPECT_THAT(text, HasSubstr("hypura_experts_used_ahead_total{model=\"stories:latest\"} 7\n"));
  EXPECT_THAT(text, HasSubstr("hypura_experts_predicted_total{model=\"stories:latest\"} 40\n"));
  EXPECT_THAT(text, HasSubstr("hypura_experts_predicted_correct_total{model=\"stories:latest\"} 24\n"));
  EXPECT_THAT(text, HasSubstr("hypura_experts_predictable_total{model=\"stories:latest\"} 41\n"));
  EXPECT_THAT(text, HasSubstr("hypura_experts_guessed_total{model=\"stories:latest\"} 40\n"));
  EXPECT_THAT(text, HasSubstr("hypura_experts_guessed_right_total{model=\"stories:latest\"} 24\n"));
  EXPECT_THAT(text, HasSubstr("hypura_experts_guessed_among_total{model=\"stories:latest\"} 41\n"));
  EXPECT_THAT(text, HasSubstr("phase=\"warm_start\"} 4000\n"));
  EXPECT_THAT(text, HasSubstr("hypura_drafted_tokens_total{model=\"stories:latest\"} 6\n"));
  EXPECT_THAT(text, HasSubstr("hypura_accepted_draft_tokens_total{model=\"stories:latest\"} 5\n"));
  EXPECT_THAT(text, HasSubstr("hypura_right_drafted_tokens_total{model=\"stories:latest\"} 5\n"));
  EXPECT_THAT(text, HasSubstr("hypura_memory_bytes{model=\"stories:latest\",purpose=\"expert slots\"} 4096\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE hypura_worker_joined gauge\n"
                              "hypura_worker_joined{model=\"stories:latest\",worker=\"box:1\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("hypura_worker_asks_total{model=\"stories:latest\",worker=\"box:1\"} 6\n"));
  EXPECT_THAT(text, HasSubstr("hypura_gpu_device_expert_hits_total{model=\"stories:latest\",gpu=\"CUDA0\"} 15\n"
                              "hypura_gpu_device_expert_hits_total{model=\"stories:latest\",gpu=\"CUDA1\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("hypura_copy_read_bytes_total{model=\"stories:latest\",copy=\"1\"} 300\n"));
  EXPECT_THAT(text, HasSubstr("hypura_memory_budget_bytes{model=\"stories:latest\"} 8192\n"));
}

TEST(MetricsText, EachNameIsDeclaredOnce) {
  const Metrics metrics;
  FakeHost host;
  host.lease(host.models()[0], {}, [](const Result<ModelLease>&) {});
  const std::string text = prometheus(metrics, host);
  std::set<std::string> names;
  for (size_t at = text.find("# TYPE "); at != std::string::npos; at = text.find("# TYPE ", at + 1)) {
    const std::string name = text.substr(at + 7, text.find(' ', at + 7) - at - 7);
    EXPECT_TRUE(names.insert(name).second) << name;
  }
  EXPECT_GT(names.size(), 20U);
}

}  // namespace
}  // namespace hypura
