#include "generate/scheduler/pass_scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "generate/scheduler/scheduler_fakes_for_test.h"

namespace hypura {
namespace {

std::vector<int32_t> prompt(int32_t from, size_t count) {
  std::vector<int32_t> tokens(count);
  std::iota(tokens.begin(), tokens.end(), from);
  return tokens;
}

TEST(PassScheduler, AnswersTogetherAreWhatTheyAreAlone) {
  FakeModel model(3);
  DrivenScheduler driven(model);
  std::vector<uint64_t> ids;
  for (size_t i = 0; i < 8; ++i) {
    ids.push_back(driven.start(prompt(100 * static_cast<int32_t>(i), 5 + 9 * i), 12));
  }
  driven.run();
  for (size_t i = 0; i < 8; ++i) {
    const AnswerEnd& end = driven.end(ids[i]);
    const std::vector<int32_t> asked = prompt(100 * static_cast<int32_t>(i), 5 + 9 * i);
    EXPECT_EQ(end.stop, StopReason::kLength);
    EXPECT_EQ(end.answer_tokens, 12U);
    EXPECT_EQ(end.prompt_tokens, asked.size());
    EXPECT_EQ(end.tokens.size(), asked.size() + 12);
    EXPECT_EQ(driven.text(ids[i]), said_alone(asked, 12));
  }
  EXPECT_EQ(driven.scheduler().counts().passes, model.passes().size());
  EXPECT_TRUE(model.in_order());
}

TEST(PassScheduler, EveryPassCarriesAllThatRun) {
  FakeModel model(3);
  DrivenScheduler driven(model);
  driven.start(prompt(0, 4), 6);
  driven.pass();
  driven.start(prompt(100, 4), 6);
  driven.start(prompt(200, 40), 6);
  driven.run();
  const auto& passes = model.passes();
  ASSERT_GE(passes.size(), 4U);
  EXPECT_EQ(passes[0].size(), 4U);   // the first prompt alone
  EXPECT_EQ(passes[1].size(), 16U);  // an answer, and two prompts that share the rest
  EXPECT_TRUE(std::is_partitioned(passes[1].begin(), passes[1].end(), [](const PassToken& it) { return !it.output; }));
  EXPECT_EQ(model.prompt_tokens()[1], 15U);
  EXPECT_EQ(passes[2].size(), 16U);
  EXPECT_EQ(model.prompt_tokens()[2], 14U);  // two answers now
}

TEST(PassScheduler, NothingIsComputedWhereNothingRuns) {
  FakeModel model(2);
  DrivenScheduler driven(model);
  driven.pass();
  EXPECT_TRUE(model.passes().empty());
  EXPECT_TRUE(driven.scheduler().idle());
  EXPECT_EQ(driven.scheduler().free_places(), 2U);
}

TEST(PassScheduler, AnswersAreCancelledInTheirPromptAndAfterIt) {
  FakeModel model(2, {4, 4});
  DrivenScheduler driven(model);
  const uint64_t talks = driven.start(prompt(0, 2), 1000);
  driven.pass();
  const uint64_t reads = driven.start(prompt(100, 400), 1000);
  driven.pass();
  driven.cancel(999);
  EXPECT_FALSE(driven.ended(talks) || driven.ended(reads));
  driven.cancel(talks);
  driven.cancel(reads);
  EXPECT_EQ(driven.end(talks).stop, StopReason::kCancelled);
  EXPECT_EQ(driven.end(talks).answer_tokens, 2U);
  EXPECT_EQ(driven.end(reads).stop, StopReason::kCancelled);
  EXPECT_EQ(driven.text(reads), "");
  EXPECT_TRUE(driven.scheduler().idle());
  const uint64_t again = driven.start(prompt(100, 400), 2);
  EXPECT_EQ(driven.run(again).cached_prompt_tokens, 3U) << "what was evaluated stays";
  EXPECT_EQ(driven.text(again), said_alone(prompt(100, 400), 2));
  driven.start(prompt(0, 400), 1000);
  driven.start(prompt(500, 400), 1000);
  driven.scheduler().cancel_all();
  EXPECT_EQ(driven.scheduler().take_ended().size(), 2U);
}

TEST(PassScheduler, WhatASequenceHoldsIsNotEvaluatedAgain) {
  FakeModel model(2);
  DrivenScheduler driven(model);
  const std::vector<int32_t> begin = prompt(0, 20);
  const AnswerEnd first = driven.run(driven.start(begin, 5));
  EXPECT_EQ(first.cached_prompt_tokens, 0U);
  std::vector<int32_t> turn = first.tokens;
  turn.push_back(7);
  const uint64_t second = driven.start(turn, 5);
  EXPECT_EQ(driven.run(second).cached_prompt_tokens, 24U) << "all but the answer's last token, which was not evaluated";
  EXPECT_EQ(driven.text(second), said_alone(turn, 5));
  const uint64_t third = driven.start(begin, 5);
  EXPECT_EQ(driven.run(third).cached_prompt_tokens, 19U) << "a prompt's last token gives the logits";
  EXPECT_EQ(driven.text(third), said_alone(begin, 5));
  EXPECT_TRUE(model.in_order());
}

// As where layers that attend to a window have let go of what is before it.
TEST(PassScheduler, WhatIsNotThereAnyMoreIsEvaluatedAnew) {
  FakeModel model(1);
  DrivenScheduler driven(model);
  const std::vector<int32_t> begin = prompt(0, 20);
  driven.run(driven.start(begin, 5));
  model.lose(20);
  const uint64_t second = driven.start(begin, 5);
  EXPECT_EQ(driven.run(second).cached_prompt_tokens, 0U);
  EXPECT_EQ(driven.text(second), said_alone(begin, 5));
  EXPECT_TRUE(model.in_order());
}

TEST(PassScheduler, AFailedPassEndsItsAnswersOnly) {
  FakeModel model(1);
  DrivenScheduler driven(model);
  const uint64_t fails = driven.start(prompt(0, 4), 4);
  driven.pass();
  driven.pass();
  model.fail_next();
  const AnswerEnd end = driven.run(fails);
  EXPECT_EQ(end.stop, StopReason::kError);
  ASSERT_TRUE(end.error);
  EXPECT_EQ(end.error->code, ErrorCode::kIo);
  EXPECT_EQ(driven.cache().tokens(0).size(), 5U) << "what was there before the pass";
  const uint64_t works = driven.start(prompt(0, 5), 4);
  EXPECT_EQ(driven.run(works).stop, StopReason::kLength);
  EXPECT_EQ(driven.text(works), said_alone(prompt(0, 5), 4));
  EXPECT_TRUE(model.in_order());
}

TEST(PassScheduler, AFullContextIsShiftedOrEndsTheAnswer) {
  FakeModel model(1);
  DrivenScheduler driven(model);
  for (const bool shift : {false, true}) {
    Job job = fake_job(prompt(0, 6), 30, nullptr);
    job.limit = 10;
    job.keep = 2;
    job.shift = shift;
    const uint64_t id = driven.start(std::move(job));
    const AnswerEnd& end = driven.run(id);
    EXPECT_EQ(end.stop, shift ? StopReason::kLength : StopReason::kContextFull);
    EXPECT_EQ(end.answer_tokens, shift ? 30U : 5U) << "the last one needs no place in the context";
    EXPECT_EQ(end.tokens.size(), 6 + end.answer_tokens);
    std::vector<int32_t> tokens = prompt(0, 6);
    std::string expected;
    for (uint32_t i = 0; i < end.answer_tokens; ++i) {
      const int32_t next = FakeModel::next(tokens);
      expected += std::to_string(next) + " ";
      tokens = tokens.size() < 10 ? tokens : drop_half(tokens, 2);
      tokens.push_back(next);
    }
    EXPECT_EQ(driven.text(id), expected + ".");
  }
}

TEST(PassScheduler, EmbedsBesideAnswers) {
  FakeModel model(2);
  DrivenScheduler driven(model);
  const uint64_t answer = driven.start(prompt(500, 4), 40);
  const uint64_t mean = driven.start(fake_embedding(prompt(0, 11), 0, 11));
  const uint64_t last = driven.start(fake_embedding(prompt(0, 41), 40, 41));
  const uint64_t again = driven.start(fake_embedding(prompt(0, 11), 0, 11));
  EXPECT_FALSE(driven.ended(answer)) << "there are passes for both";
  driven.run();
  ASSERT_TRUE(driven.embedding(mean));
  EXPECT_EQ(driven.embedding(mean)->tokens, 11U);
  EXPECT_FLOAT_EQ(driven.embedding(mean)->values.at(0), 5);
  EXPECT_FLOAT_EQ(driven.embedding(last)->values.at(0), 40);
  EXPECT_FLOAT_EQ(driven.embedding(again)->values.at(0), 5);
  EXPECT_EQ(driven.text(answer), said_alone(prompt(500, 4), 40));
  EXPECT_TRUE(model.in_order());
}

}  // namespace
}  // namespace hypura
