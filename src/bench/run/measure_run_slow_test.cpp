// Both engines through the measuring loop, on the demo model.

#include <gtest/gtest.h>

#include "bench/run/measure_run.h"
#include "bench/run/serving_run.h"
#include "support/units.h"

namespace hypura {
namespace {

RunSpec small_run(const std::string& engine) {
  RunSpec spec;
  spec.engine = engine;
  spec.model = HYPURA_SOURCE_DIR "/models/hypura-stories-moe.gguf";
  spec.memory = 40 * kMiB;
  spec.repack = false;
  spec.threads = 1;
  spec.context = 512;
  spec.prompt_tokens = 20;
  spec.warmup_tokens = 2;
  spec.tokens = 6;
  return spec;
}

TEST(MeasureRun, DrivesBothEnginesAlike) {
  const auto plain = measure_run(*make_plain_engine(), small_run("plain"));
  ASSERT_TRUE(plain) << plain.error().message;
  const auto ours = measure_run(*make_hypura_engine(), small_run("hypura"));
  ASSERT_TRUE(ours) << ours.error().message;
  EXPECT_EQ(plain->chosen.size(), 9U);  // one after the prompt, two to warm up, six that count
  EXPECT_EQ(plain->chosen, ours->chosen);
  EXPECT_EQ(ours->prefill.tokens, 20U);
  EXPECT_EQ(ours->decode.tokens, 6U);
  EXPECT_EQ(plain->decode.split.sum(), 0);
}

TEST(MeasureRun, DecodesTheWordsOfATextWhereItIsTold) {
  const RunSpec greedy = small_run("hypura");
  RunSpec forced = greedy;
  forced.teacher_forced = true;
  RunSpec other = forced;
  other.engine = "plain";
  const auto chosen = measure_run(*make_hypura_engine(), greedy);
  const auto ours = measure_run(*make_hypura_engine(), forced);
  const auto plain = measure_run(*make_plain_engine(), other);
  ASSERT_TRUE(chosen && ours && plain);
  EXPECT_EQ(ours->chosen, plain->chosen);
  EXPECT_EQ(ours->chosen.size(), chosen->chosen.size());
  EXPECT_EQ(ours->chosen.front(), chosen->chosen.front());  // after the prompt
  EXPECT_NE(ours->chosen, chosen->chosen);
  EXPECT_EQ(ours->expert_lookups, chosen->expert_lookups);
}

TEST(MeasureRun, TellsWhereTheTimeOfAStreamedRunWent) {
  const auto run = measure_run(*make_hypura_engine(), small_run("hypura"));
  ASSERT_TRUE(run) << run.error().message;
  EXPECT_EQ(run->mode, "expert-streaming");
  for (const PhaseCost* phase : {&run->prefill, &run->decode}) {
    EXPECT_NEAR(phase->split.sum(), phase->seconds, 1e-3 * phase->seconds);
    EXPECT_GT(phase->split.streamed, 0);
    EXPECT_GT(phase->split.other, 0);
  }
  EXPECT_EQ(run->expert_lookups, 6U * 6U * 4U);  // tokens, layers, experts used
  EXPECT_GT(run->streamed_bytes, 0U);
  EXPECT_GT(run->decode.disk_busy_seconds, 0);
  EXPECT_LE(run->decode.disk_busy_seconds, run->decode.seconds);
}

TEST(MeasureRun, SaysWhenPromptAndAnswerDoNotFit) {
  RunSpec spec = small_run("hypura");
  spec.context = 4096;  // the model knows 1024
  spec.tokens = 2000;
  const auto run = measure_run(*make_hypura_engine(), spec);
  ASSERT_FALSE(run);
  EXPECT_EQ(run.error().code, ErrorCode::kUsage);
  EXPECT_NE(run.error().message.find("holds 1024:"), std::string::npos) << run.error().message;
}

// A dense model in Q8_0 rounds the same for one row as for several (docs/design/batching.md).
TEST(MeasureRun, SaysTheSameWithDraftsAndCountsThem) {
  RunSpec spec = small_run("hypura");
  spec.model = HYPURA_SOURCE_DIR "/models/hypura-stories-draft.gguf";
  spec.memory = 18 * kMiB;
  spec.mode = "dense-streaming";
  spec.context = 256;
  spec.warmup_tokens = 0;
  spec.tokens = 12;
  const auto plain = measure_run(*make_hypura_engine(), spec);
  ASSERT_TRUE(plain) << plain.error().message;
  EXPECT_EQ(plain->drafted_tokens, 0);
  spec.draft = spec.model;  // itself: nearly always right
  spec.keep_draft_model = true;
  const auto drafted = measure_run(*make_hypura_engine(), spec);
  ASSERT_TRUE(drafted) << drafted.error().message;
  EXPECT_EQ(drafted->chosen, plain->chosen);
  EXPECT_EQ(drafted->decode.tokens, 12U);  // no warm-up, in which a pass may end late
  EXPECT_GT(drafted->drafted_tokens, 0U);
  EXPECT_LE(drafted->accepted_draft_tokens, drafted->drafted_tokens);
  EXPECT_LT(drafted->accepted_draft_tokens, drafted->decode.tokens);
}

TEST(MeasureRun, DraftsByNgramsOfASentenceThatIsRepeated) {
  RunSpec spec = small_run("hypura");
  spec.context = 256;
  spec.prompt_tokens = 60;
  spec.tokens = 60;
  spec.draft_ngrams = true;
  spec.sentence = "Tom has a red ball.";
  const auto run = measure_run(*make_hypura_engine(), spec);
  ASSERT_TRUE(run) << run.error().message;
  EXPECT_GT(run->prefill.tokens, 40U);
  EXPECT_LE(run->prefill.tokens, 60U);
  EXPECT_GT(run->drafted_tokens, 0U);
  EXPECT_LE(run->accepted_draft_tokens, run->drafted_tokens);
}

TEST(MeasureServing, CountsAllAnswers) {
  RunSpec spec = small_run("hypura");
  spec.answers = 2;
  spec.context = 128;
  const auto run = measure_serving(spec);
  ASSERT_TRUE(run) << run.error().message;
  EXPECT_GT(run->decode.tokens, 2U);
  EXPECT_LE(run->decode.tokens, 12U);
  EXPECT_GT(run->decode.seconds, 0);
  EXPECT_GT(run->expert_lookups, 0U);
}

TEST(MeasureServing, TellsTheFirstTokensOfTwoTurns) {
  RunSpec spec = small_run("hypura");
  spec.answers = 1;
  spec.turns = 2;
  spec.prompt_tokens = 200;
  const auto run = measure_serving(spec);
  ASSERT_TRUE(run) << run.error().message;
  EXPECT_GT(run->second_turn_seconds, 0);
  EXPECT_LT(run->second_turn_seconds, run->first_token_seconds);
}

}  // namespace
}  // namespace hypura
