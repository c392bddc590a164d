#include "generate/batcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <random>
#include <thread>

#include "generate/batcher_fakes_for_test.h"

namespace hypura {
namespace {

std::vector<int32_t> prompt(int32_t from, size_t count) {
  std::vector<int32_t> tokens(count);
  std::iota(tokens.begin(), tokens.end(), from);
  return tokens;
}

// What an answer says that runs alone.
std::string alone(std::vector<int32_t> tokens, uint32_t count) {
  std::string text;
  for (uint32_t i = 0; i < count; ++i) {
    const int32_t next = FakeModel::next(tokens);
    text += std::to_string(next) + " ";
    tokens.push_back(next);
  }
  return text + ".";
}

std::shared_ptr<WaitingSink> submit(Batcher& batcher, std::vector<int32_t> tokens, uint32_t count,
                                    uint64_t* id = nullptr) {
  auto sink = std::make_shared<WaitingSink>();
  const auto submitted = batcher.submit(fake_job(std::move(tokens), count, sink));
  EXPECT_TRUE(submitted);
  if (id != nullptr) {
    *id = *submitted;
  }
  return sink;
}

TEST(Batcher, AnswersTogetherAreWhatTheyAreAlone) {
  FakeModel model(3);
  {
    Batcher batcher(model, 10);
    std::vector<std::shared_ptr<WaitingSink>> sinks;
    for (size_t i = 0; i < 8; ++i) {
      sinks.push_back(submit(batcher, prompt(100 * static_cast<int32_t>(i), 5 + 9 * i), 12));
    }
    for (size_t i = 0; i < 8; ++i) {
      const AnswerEnd end = sinks[i]->wait();
      const std::vector<int32_t> asked = prompt(100 * static_cast<int32_t>(i), 5 + 9 * i);
      EXPECT_EQ(end.stop, StopReason::kLength);
      EXPECT_EQ(end.answer_tokens, 12U);
      EXPECT_EQ(end.prompt_tokens, asked.size());
      EXPECT_EQ(end.tokens.size(), asked.size() + 12);
      EXPECT_EQ(sinks[i]->text(), alone(asked, 12));
    }
    const GeneratorStats stats = batcher.stats();
    EXPECT_EQ(stats.answers, 8U);
    EXPECT_EQ(stats.running, 0U);
    EXPECT_EQ(stats.queued, 0U);
    EXPECT_EQ(stats.parallel, 3U);
  }
  EXPECT_TRUE(model.in_order());
}

TEST(Batcher, EveryPassCarriesAllThatRun) {
  FakeModel model(3);
  model.close();
  Batcher batcher(model, 10);
  const auto first = submit(batcher, prompt(0, 4), 6);
  model.wait_for_pass();
  const auto second = submit(batcher, prompt(100, 4), 6);
  const auto third = submit(batcher, prompt(200, 40), 6);
  model.open();
  first->wait();
  second->wait();
  third->wait();
  const auto passes = model.passes();
  ASSERT_GE(passes.size(), 4U);
  EXPECT_EQ(passes[0].size(), 4U);   // the first prompt alone
  EXPECT_EQ(passes[1].size(), 16U);  // an answer, and two prompts that share the rest
  EXPECT_TRUE(std::is_partitioned(passes[1].begin(), passes[1].end(), [](const PassToken& it) { return !it.output; }));
  EXPECT_EQ(model.prompt_tokens()[1], 15U);
  EXPECT_EQ(passes[2].size(), 16U);
  EXPECT_EQ(model.prompt_tokens()[2], 14U);  // two answers now
}

TEST(Batcher, TheQueueIsBounded) {
  FakeModel model(1);
  model.close();
  Batcher batcher(model, 2);
  const auto runs = submit(batcher, prompt(0, 4), 2);
  model.wait_for_pass();
  const auto waits = submit(batcher, prompt(10, 4), 2);
  const auto waits_too = submit(batcher, prompt(20, 4), 2);
  const auto refused = batcher.submit(fake_job(prompt(30, 4), 2, std::make_shared<WaitingSink>()));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  EXPECT_EQ(refused.error().message, "server busy, please try again.  maximum pending requests exceeded");
  EXPECT_FALSE(batcher.room());
  EXPECT_EQ(batcher.stats().queued, 2U);
  EXPECT_EQ(batcher.stats().running, 1U);
  model.open();
  EXPECT_EQ(waits_too->wait().stop, StopReason::kLength);
  EXPECT_TRUE(batcher.room());
}

TEST(Batcher, AnswersAreCancelledWhereverTheyAre) {
  FakeModel model(2, {4, 4});
  model.close();
  Batcher batcher(model, 10);
  std::vector<uint64_t> ids(3);
  const auto running = submit(batcher, prompt(0, 2), 1000, &ids[0]);
  model.wait_for_pass();
  model.let_one_through();
  running->wait_for_text();
  const auto reading = submit(batcher, prompt(100, 400), 1000, &ids[1]);  // its prompt
  const auto queued = submit(batcher, prompt(200, 4), 1000, &ids[2]);
  model.wait_for_pass();
  model.let_one_through();
  model.wait_for_pass();
  for (const uint64_t id : ids) {
    batcher.cancel(id);
  }
  batcher.cancel(999);
  model.open();
  for (const auto& sink : {running, reading, queued}) {
    EXPECT_EQ(sink->wait().stop, StopReason::kCancelled);
  }
  EXPECT_EQ(reading->text(), "");
  EXPECT_EQ(queued->wait().answer_tokens, 0U);
  EXPECT_EQ(batcher.stats().cancelled, 3U);
  const auto next = submit(batcher, prompt(300, 4), 2);
  EXPECT_EQ(next->wait().stop, StopReason::kLength) << "the sequences are free again";
}

TEST(Batcher, WhatASequenceHoldsIsNotEvaluatedAgain) {
  FakeModel model(2);
  {
    Batcher batcher(model, 10);
    const std::vector<int32_t> begin = prompt(0, 20);
    AnswerEnd end = submit(batcher, begin, 5)->wait();
    EXPECT_EQ(end.cached_prompt_tokens, 0U);
    std::vector<int32_t> turn = end.tokens;
    turn.push_back(7);
    const auto second = submit(batcher, turn, 5);
    EXPECT_EQ(second->wait().cached_prompt_tokens, 24U) << "all but the answer's last token, which was not evaluated";
    EXPECT_EQ(second->text(), alone(turn, 5));
    const auto third = submit(batcher, begin, 5);
    EXPECT_EQ(third->wait().cached_prompt_tokens, 19U) << "a prompt's last token gives the logits";
    EXPECT_EQ(third->text(), alone(begin, 5));
    EXPECT_EQ(batcher.stats().cached_tokens, 43U);
    EXPECT_EQ(batcher.stats().prompt_tokens, 20U + turn.size() + 20U);
  }
  EXPECT_TRUE(model.in_order());
}

TEST(Batcher, AFailedPassEndsItsAnswersOnly) {
  FakeModel model(1);
  model.close();
  Batcher batcher(model, 10);
  const auto fails = submit(batcher, prompt(0, 4), 4);
  const auto works = submit(batcher, prompt(50, 4), 4);
  model.wait_for_pass();
  model.fail_next();
  model.open();
  const AnswerEnd end = fails->wait();
  EXPECT_EQ(end.stop, StopReason::kError);
  ASSERT_TRUE(end.error);
  EXPECT_EQ(end.error->code, ErrorCode::kIo);
  EXPECT_EQ(works->wait().stop, StopReason::kLength);
  EXPECT_EQ(works->text(), alone(prompt(50, 4), 4));
}

TEST(Batcher, AFullContextIsShiftedOrEndsTheAnswer) {
  FakeModel model(1);
  Batcher batcher(model, 10);
  for (const bool shift : {false, true}) {
    auto sink = std::make_shared<WaitingSink>();
    Job job = fake_job(prompt(0, 6), 30, sink);
    job.limit = 10;
    job.keep = 2;
    job.shift = shift;
    ASSERT_TRUE(batcher.submit(std::move(job)));
    const AnswerEnd end = sink->wait();
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
    EXPECT_EQ(sink->text(), expected + ".");
  }
}

TEST(Batcher, ClosingEndsEverything) {
  FakeModel model(1);
  model.close();
  std::vector<std::shared_ptr<WaitingSink>> sinks;
  std::thread opener;
  {
    Batcher batcher(model, 10);
    for (int32_t i = 0; i < 3; ++i) {
      sinks.push_back(submit(batcher, prompt(10 * i, 4), 1000000));
    }
    model.wait_for_pass();
    opener = std::thread([&] {
      while (batcher.room()) {  // until the destructor has begun: it waits for the pass
        std::this_thread::yield();
      }
      model.open();
    });
  }
  opener.join();
  for (const auto& sink : sinks) {
    EXPECT_EQ(sink->wait().stop, StopReason::kCancelled);
    EXPECT_TRUE(sink->ended_once());
  }
}

Job embed_job(const std::vector<int32_t>& tokens, uint32_t first, uint32_t end) {
  Job job;
  job.prompt = tokens;
  job.limit = 1000;
  job.embed = std::make_unique<EmbedWork>();
  job.embed->first = first;
  job.embed->end = end;
  return job;
}

TEST(Batcher, EmbedsBesideAnswers) {
  FakeModel model(2);
  {
    Batcher batcher(model, 10);
    const auto answer = submit(batcher, prompt(500, 4), 40);
    const auto mean = batcher.embed(embed_job(prompt(0, 11), 0, 11));
    ASSERT_TRUE(mean);
    EXPECT_EQ(mean->tokens, 11U);
    EXPECT_FLOAT_EQ(mean->values.at(0), 5);
    const auto last = batcher.embed(embed_job(prompt(0, 41), 40, 41));
    ASSERT_TRUE(last);
    EXPECT_FLOAT_EQ(last->values.at(0), 40);
    const auto again = batcher.embed(embed_job(prompt(0, 11), 0, 11));
    EXPECT_FLOAT_EQ(again->values.at(0), 5);
    answer->wait();
    EXPECT_EQ(answer->text(), alone(prompt(500, 4), 40));
  }
  EXPECT_TRUE(model.in_order());
}

TEST(Batcher, ManyThreadsAtOnce) {
  FakeModel model(3);
  std::atomic<int> ended{0};
  std::atomic<int> accepted{0};
  {
    Batcher batcher(model, 4);
    std::vector<std::thread> threads;
    for (uint32_t seed = 0; seed < 6; ++seed) {
      threads.emplace_back([&, seed] {
        std::mt19937 random(seed);
        for (int i = 0; i < 60; ++i) {
          auto sink = std::make_shared<WaitingSink>();
          const auto id = batcher.submit(fake_job(prompt(static_cast<int32_t>(random() % 50), 1 + random() % 40),
                                                  static_cast<uint32_t>(1 + random() % 20), sink));
          if (!id) {
            static_cast<void>(batcher.embed(embed_job(prompt(0, 5), 0, 5)));
            continue;
          }
          ++accepted;
          if (random() % 3 == 0) {
            batcher.cancel(*id);
          }
          static_cast<void>(batcher.stats());
          sink->wait();
          ended += sink->ended_once() ? 1 : 0;
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    EXPECT_EQ(batcher.stats().answers, static_cast<uint64_t>(accepted.load()));
    EXPECT_EQ(batcher.stats().running, 0U);
  }
  EXPECT_EQ(ended.load(), accepted.load());
  EXPECT_TRUE(model.in_order());
}

}  // namespace
}  // namespace hypura
