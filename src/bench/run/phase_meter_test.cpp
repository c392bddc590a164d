#include "bench/run/phase_meter.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

// An engine whose counters the test sets.
class Counting final : public BenchEngine {
 public:
  Status open(const RunSpec&) override { return {}; }
  std::vector<int32_t> tokenize(const std::string&) const override { return {}; }
  uint32_t context_size() const override { return 0; }
  Result<int32_t> prompt(const std::string&) override { return 0; }
  Result<int32_t> next(int32_t) override { return 0; }
  EngineStats counters() const override { return stats; }
  void describe(RunResult&) const override {}

  EngineStats stats;
};

// An answer whose prompt takes two passes, and whose passes give `right + 1` tokens each, of 4 drafted.
class AnswerMeterTest : public testing::Test {
 protected:
  void begin(AnswerMeter& meter) {
    for (int i = 0; i < 2; ++i) {
      meter.look();
      engine_.stats.prompt_seconds += 1;
    }
    token(meter);
  }
  void pass(AnswerMeter& meter, uint32_t right) {
    engine_.stats.drafted_tokens += drafted_;  // those of the pass before
    engine_.stats.accepted_draft_tokens += right_;
    engine_.stats.decode_seconds += 1;
    engine_.stats.expert_lookups += 100;
    drafted_ = 4;
    right_ = right;
    for (uint32_t i = 0; i <= right; ++i) {
      token(meter);
    }
  }
  Result<Phase> stop(const AnswerMeter& meter) {
    engine_.stats.drafted_tokens += drafted_;
    engine_.stats.accepted_draft_tokens += right_;
    return meter.stop(tokens_);
  }

  Counting engine_;
  size_t tokens_ = 0;

 private:
  void token(AnswerMeter& meter) {
    ++tokens_;
    meter.look();
  }

  uint32_t drafted_ = 0;
  uint32_t right_ = 0;
};

TEST_F(AnswerMeterTest, CountsFromTheFirstPassWithoutWarmUp) {
  AnswerMeter meter(engine_, 0);
  begin(meter);
  pass(meter, 2);
  pass(meter, 0);
  const auto phase = stop(meter);
  ASSERT_TRUE(phase) << phase.error().message;
  EXPECT_EQ(phase->cost.tokens, 4);
  EXPECT_EQ(phase->counted.expert_lookups, 200);
  EXPECT_EQ(phase->counted.drafted_tokens, 8);
  EXPECT_EQ(phase->counted.accepted_draft_tokens, 2);
}

TEST_F(AnswerMeterTest, CountsWholePassesAfterTheWarmUp) {
  AnswerMeter meter(engine_, 4);
  begin(meter);
  pass(meter, 1);
  pass(meter, 3);  // the fourth token that warms up is in its midst
  pass(meter, 4);
  pass(meter, 1);
  const auto phase = stop(meter);
  ASSERT_TRUE(phase) << phase.error().message;
  EXPECT_EQ(phase->cost.tokens, 7);
  EXPECT_EQ(phase->counted.expert_lookups, 200);
  EXPECT_EQ(phase->counted.drafted_tokens, 8);
  EXPECT_EQ(phase->counted.accepted_draft_tokens, 5);
}

TEST(PhaseMeter, ExpertsOfWorkersCountToo) {
  Phase phase;
  phase.counted.expert_lookups = 10;
  phase.counted.expert_hits = 4;
  WorkerCounters& worker = phase.counted.workers.emplace_back();
  worker.experts = 30;
  worker.expert_hits = 26;
  RunResult result;
  note_decode(phase, result);
  EXPECT_EQ(result.expert_lookups, 40U);
  EXPECT_EQ(result.expert_hits, 30U);
}

TEST_F(AnswerMeterTest, SaysWhenNothingIsLeftToCount) {
  AnswerMeter meter(engine_, 3);
  begin(meter);
  pass(meter, 1);
  pass(meter, 1);
  const auto phase = stop(meter);
  ASSERT_FALSE(phase);
  EXPECT_EQ(phase.error().code, ErrorCode::kUsage);
  EXPECT_NE(phase.error().message.find("has 5 tokens"), std::string::npos) << phase.error().message;
}

}  // namespace
}  // namespace hypura
