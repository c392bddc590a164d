#include "bench/run/run_spec.h"

#include <gtest/gtest.h>

#include "bench/run/bench_engine.h"

namespace hypura {
namespace {

TEST(RunSpec, SurvivesTheWayToTheChild) {
  RunSpec spec;
  spec.engine = "hypura";
  spec.model = "a \"quoted\" model.gguf";
  spec.memory = 5'000'000'000;
  spec.repack = false;
  spec.repack_streamed = false;
  spec.predict = true;
  spec.run_history = true;
  spec.text = 3;
  spec.teacher_forced = true;
  spec.ubatch = 64;
  spec.threads = 3;
  spec.context = 2048;
  spec.prompt_tokens = 7;
  spec.warmup_tokens = 0;
  spec.tokens = 9;
  spec.as_answer = true;
  spec.keep_draft_model = true;
  spec.sentence = "A \"red\" ball.";
  spec.draft = "a draft.gguf";
  spec.draft_ngrams = true;
  spec.draft_mtp = true;
  spec.draft_tokens = 5;
  spec.gpu = "CUDA0";
  spec.vram = 4096;
  spec.lazy_tables = true;
  spec.mixed_compute = true;
  spec.mirrors = {"/disk2/copy.gguf", "/disk3"};
  spec.workers = {"box:1", "[::1]:2"};
  spec.split = "experts";
  spec.trust_network = true;
  const auto back = spec_from_json(to_json_line(spec));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(to_json_line(*back), to_json_line(spec));
  EXPECT_EQ(back->model, spec.model);
  EXPECT_EQ(back->memory, spec.memory);
  EXPECT_FALSE(back->repack);
  EXPECT_FALSE(back->repack_streamed);
  EXPECT_TRUE(engine_options(*back).run_history);
  EXPECT_FALSE(plan_overrides(*back).warm_start);
  EXPECT_FALSE(engine_options({}).run_history);
  EXPECT_TRUE(back->as_answer);
  EXPECT_TRUE(back->keep_draft_model);
  EXPECT_EQ(back->sentence, spec.sentence);
  EXPECT_EQ(back->text, spec.text);
  EXPECT_EQ(back->draft, "a draft.gguf");
  EXPECT_EQ(engine_options(*back).gpu, "CUDA0");
  EXPECT_EQ(engine_options(*back).vram, 4096U);
  EXPECT_TRUE(plain_options(*back).lazy_tables);
  EXPECT_TRUE(engine_options(*back).mixed_compute);
  EXPECT_EQ(engine_options(RunSpec()).vram, std::nullopt);
  EXPECT_EQ(back->mirrors, spec.mirrors);
  EXPECT_EQ(engine_options(*back).workers, spec.workers);
  EXPECT_EQ(engine_options(*back).split, WorkerSplit::kExperts);
  EXPECT_TRUE(engine_options(*back).trust_network);
  EXPECT_EQ(engine_options(*back).mirrors, std::vector<std::filesystem::path>({"/disk2/copy.gguf", "/disk3"}));
  EXPECT_TRUE(back->draft_ngrams);
  EXPECT_TRUE(back->draft_mtp);
  EXPECT_EQ(engine_options(*back).draft.tokens, 5U);
}

TEST(RunSpec, TellsTheEngineWhereDraftsComeFrom) {
  RunSpec spec;
  EXPECT_FALSE(spec.drafts());
  EXPECT_FALSE(engine_options(spec).draft.any());
  spec.draft_ngrams = true;
  EXPECT_TRUE(spec.drafts());
  EXPECT_TRUE(engine_options(spec).draft.ngrams);
  EXPECT_TRUE(engine_options(spec).draft.model.empty());
  spec.draft_ngrams = false;
  spec.draft = "draft.gguf";
  EXPECT_TRUE(spec.drafts());
  EXPECT_EQ(engine_options(spec).draft.model, "draft.gguf");
  EXPECT_FALSE(engine_options(spec).draft.ngrams);
  spec.draft.clear();
  spec.draft_mtp = true;
  EXPECT_TRUE(spec.drafts());
  EXPECT_TRUE(engine_options(spec).draft.mtp);
}

TEST(RunResult, SurvivesTheWayBack) {
  RunResult result;
  result.decode = {32, 1.5, 12345678901, {0.5, 0.25, 0.5, 0.25}, 0.75};
  result.predicted.known = true;
  result.predicted.hit_rate_source = "a trace";
  result.chosen = {5, -1, 7};
  result.plan = "a plan";
  result.drafted_tokens = 88;
  result.accepted_draft_tokens = 50;
  const auto back = result_from_json(to_json_line(result) + "\n");
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->decode.bytes, result.decode.bytes);
  EXPECT_EQ(back->decode.split.streamed, 0.25);
  EXPECT_EQ(back->predicted.hit_rate_source, "a trace");
  EXPECT_EQ(back->chosen, result.chosen);
  EXPECT_EQ(back->drafted_tokens, 88);
  EXPECT_EQ(back->accepted_draft_tokens, 50);
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

TEST(TimeSplit, AddsUpToThePhase) {
  EngineStats counted;
  counted.decode_seconds = 9;
  counted.io_wait_seconds = 3;
  counted.stream_compute_seconds = 4;
  counted.stream_kernel_seconds = 3.5;
  const TimeSplit split = split_of(counted, 10);
  EXPECT_DOUBLE_EQ(split.io_wait, 3);
  EXPECT_DOUBLE_EQ(split.streamed, 3.5);
  EXPECT_DOUBLE_EQ(split.other, 2);
  EXPECT_DOUBLE_EQ(split.overhead, 1.5);  // a second outside of the passes, half a second in the streaming
  EXPECT_DOUBLE_EQ(split.sum(), 10);
}

TEST(TimeSplit, OfAnEngineThatDoesNotCountIsNothing) {
  EXPECT_EQ(split_of({}, 10).sum(), 0);
}

}  // namespace
}  // namespace hypura
