#include "bench/run_spec.h"

#include <gtest/gtest.h>

namespace hypura::bench {
namespace {

TEST(RunSpec, SurvivesTheWayToTheChild) {
  RunSpec spec;
  spec.engine = "hypura";
  spec.model = "a \"quoted\" model.gguf";
  spec.memory = 5'000'000'000;
  spec.threads = 3;
  spec.context = 2048;
  spec.prompt_tokens = 7;
  spec.warmup_tokens = 0;
  spec.tokens = 9;
  const auto back = spec_from_json(to_json_line(spec));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(to_json_line(*back), to_json_line(spec));
  EXPECT_EQ(back->model, spec.model);
  EXPECT_EQ(back->memory, spec.memory);
}

TEST(RunResult, SurvivesTheWayBack) {
  RunResult result;
  result.decode = {32, 1.5, 12345678901};
  result.chosen = {5, -1, 7};
  result.plan = "a plan";
  const auto back = result_from_json(to_json_line(result) + "\n");
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->decode.bytes, result.decode.bytes);
  EXPECT_EQ(back->chosen, result.chosen);
  EXPECT_EQ(to_json_line(*back), to_json_line(result));
}

TEST(RunResult, IsNotMadeOfHalfALine) {
  const std::string line = to_json_line(RunResult{});
  EXPECT_EQ(result_from_json(line.substr(0, line.size() / 2)).error().code, ErrorCode::kInternal);
  EXPECT_EQ(result_from_json("").error().code, ErrorCode::kInternal);
  EXPECT_EQ(result_from_json("{}").error().code, ErrorCode::kInternal);
}

TEST(PhaseCost, GivesRatesAndNoDivisionByZero) {
  EXPECT_EQ((PhaseCost{10, 2.0, 100}.tokens_per_second()), 5.0);
  EXPECT_EQ((PhaseCost{10, 2.0, 100}.bytes_per_token()), 10.0);
  EXPECT_EQ(PhaseCost{}.tokens_per_second(), 0);
  EXPECT_EQ(PhaseCost{}.bytes_per_token(), 0);
}

}  // namespace
}  // namespace hypura::bench
