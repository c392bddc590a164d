#include "generate/scheduler/scheduler_thread.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <optional>
#include <random>

#include "generate/scheduler/scheduler_fakes_for_test.h"

namespace hypura {
namespace {

std::vector<int32_t> count_from(int32_t from, size_t count) {
  std::vector<int32_t> tokens(count);
  std::iota(tokens.begin(), tokens.end(), from);
  return tokens;
}

// Passes wait until they are let through; all are unless close() was called.
class GatedModel final : public FakeModel {
 public:
  using FakeModel::FakeModel;

  Status pass(std::span<const PassToken> tokens, uint32_t prompt_tokens) override {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_ > 0; });
    --waiting_;
    open_ -= open_ == kOpen ? 0 : 1;
    return FakeModel::pass(tokens, prompt_tokens);
  }

  void close() { set_open(0); }
  void let_one_through() { set_open(1); }
  void open() { set_open(kOpen); }
  // Until a pass waits.
  void wait_for_pass() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ > 0 && open_ == 0; });
  }

 private:
  static constexpr int kOpen = 1 << 30;

  void set_open(int passes) {
    const std::lock_guard lock(mutex_);
    open_ = passes;
    changed_.notify_all();
  }

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  int open_ = kOpen;
  int waiting_ = 0;
};

class WaitingSink : public AnswerSink {
 public:
  void on_piece(AnswerPiece piece) override {
    const std::lock_guard lock(mutex_);
    text_ += piece.content;
    after_end_ = after_end_ || end_.has_value();
    changed_.notify_all();
  }

  void on_end(AnswerEnd end) override {
    const std::lock_guard lock(mutex_);
    ++ends_;
    end_ = std::move(end);
    changed_.notify_all();
  }

  AnswerEnd wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return end_.has_value(); });
    return *end_;
  }
  void wait_for_text() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !text_.empty(); });
  }
  std::string text() {
    const std::lock_guard lock(mutex_);
    return text_;
  }
  // Whether exactly one end came, and nothing after it.
  bool ended_once() {
    const std::lock_guard lock(mutex_);
    return ends_ == 1 && !after_end_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_;
  std::optional<AnswerEnd> end_;
  int ends_ = 0;
  bool after_end_ = false;
};

// A thread over a model and its books.
struct Running {
  Running(GatedModel& model, uint32_t queue, std::function<void(bool)> after_pass = {})
      : cache(model), thread(model, cache, nullptr, UINT32_MAX, queue, std::move(after_pass)) {}

  std::shared_ptr<WaitingSink> submit(std::vector<int32_t> tokens, uint32_t count, uint64_t* id = nullptr) {
    auto sink = std::make_shared<WaitingSink>();
    const auto submitted = thread.submit(fake_job(std::move(tokens), count, sink));
    EXPECT_TRUE(submitted);
    if (id != nullptr) {
      *id = *submitted;
    }
    return sink;
  }

  KvCache cache;
  SchedulerThread thread;
};

TEST(SchedulerThread, CountsWhatItDid) {
  GatedModel model(3);
  std::atomic<int> after{0};
  {
    Running running(model, 10, [&](bool) { ++after; });
    std::vector<std::shared_ptr<WaitingSink>> sinks;
    for (int32_t i = 0; i < 8; ++i) {
      sinks.push_back(running.submit(count_from(100 * i, 20), 12));
    }
    for (int32_t i = 0; i < 8; ++i) {
      EXPECT_EQ(sinks[static_cast<size_t>(i)]->wait().stop, StopReason::kLength);
      EXPECT_EQ(sinks[static_cast<size_t>(i)]->text(), said_alone(count_from(100 * i, 20), 12));
    }
    EXPECT_EQ(running.submit(count_from(0, 20), 1)->wait().answer_tokens, 1U);
    const GeneratorStats stats = running.thread.stats();
    EXPECT_EQ(stats.answers, 9U);
    EXPECT_EQ(stats.cancelled, 0U);
    EXPECT_EQ(stats.running, 0U);
    EXPECT_EQ(stats.queued, 0U);
    EXPECT_EQ(stats.parallel, 3U);
    EXPECT_EQ(stats.prompt_tokens, 9U * 20U);
    EXPECT_EQ(stats.batched_tokens, 8U * 31U + 20U - stats.cached_tokens);
    EXPECT_GT(stats.context_used, 31U);
  }
  EXPECT_GE(static_cast<size_t>(after.load()), model.passes().size());
  EXPECT_TRUE(model.in_order());
}

TEST(SchedulerThread, TheQueueIsBounded) {
  GatedModel model(1);
  model.close();
  Running running(model, 2);
  const auto runs = running.submit(count_from(0, 4), 2);
  model.wait_for_pass();
  const auto waits = running.submit(count_from(10, 4), 2);
  const auto waits_too = running.submit(count_from(20, 4), 2);
  const auto refused = running.thread.submit(fake_job(count_from(30, 4), 2, std::make_shared<WaitingSink>()));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  EXPECT_EQ(refused.error().message, "server busy, please try again.  maximum pending requests exceeded");
  EXPECT_FALSE(running.thread.check_queue());
  EXPECT_EQ(running.thread.stats().queued, 2U);
  EXPECT_EQ(running.thread.stats().running, 1U);
  model.open();
  EXPECT_EQ(waits_too->wait().stop, StopReason::kLength);
  EXPECT_TRUE(running.thread.check_queue());
}

TEST(SchedulerThread, AnswersAreCancelledWhereverTheyAre) {
  GatedModel model(2, {4, 4});
  model.close();
  Running running(model, 10);
  std::vector<uint64_t> ids(3);
  const auto talking = running.submit(count_from(0, 2), 1000, &ids[0]);
  model.wait_for_pass();
  model.let_one_through();
  talking->wait_for_text();
  const auto reading = running.submit(count_from(100, 400), 1000, &ids[1]);  // its prompt
  const auto queued = running.submit(count_from(200, 4), 1000, &ids[2]);
  model.wait_for_pass();
  model.let_one_through();
  model.wait_for_pass();
  for (const uint64_t id : ids) {
    running.thread.cancel(id);
  }
  running.thread.cancel(999);
  model.open();
  for (const auto& sink : {talking, reading, queued}) {
    EXPECT_EQ(sink->wait().stop, StopReason::kCancelled);
  }
  EXPECT_EQ(reading->text(), "");
  EXPECT_EQ(queued->wait().answer_tokens, 0U);
  EXPECT_EQ(running.thread.stats().cancelled, 3U);
  const auto next = running.submit(count_from(300, 4), 2);
  EXPECT_EQ(next->wait().stop, StopReason::kLength) << "the sequences are free again";
}

TEST(SchedulerThread, ClosingEndsEverything) {
  GatedModel model(1);
  model.close();
  std::vector<std::shared_ptr<WaitingSink>> sinks;
  std::thread opener;
  {
    Running running(model, 10);
    for (int32_t i = 0; i < 3; ++i) {
      sinks.push_back(running.submit(count_from(10 * i, 4), 1000000));
    }
    model.wait_for_pass();
    opener = std::thread([&] {
      while (running.thread.check_queue()) {  // until the destructor has begun: it waits for the pass
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

TEST(SchedulerThread, ClosingEndsEmbeddingsThatWait) {
  GatedModel model(1);
  model.close();
  Result<Embedding> embedding;
  std::thread asks;
  std::thread opener;
  {
    Running running(model, 1);
    const auto runs = running.submit(count_from(0, 4), 1000000);
    model.wait_for_pass();
    asks = std::thread([&] { embedding = running.thread.embed(fake_embedding(count_from(0, 5), 0, 5)); });
    while (running.thread.stats().queued == 0) {
      std::this_thread::yield();
    }
    opener = std::thread([&] {
      while (running.thread.check_queue().error().code !=
             ErrorCode::kCancelled) {  // busy until the destructor has begun
        std::this_thread::yield();
      }
      model.open();
    });
  }
  asks.join();
  opener.join();
  ASSERT_FALSE(embedding);
  EXPECT_EQ(embedding.error().code, ErrorCode::kCancelled);
}

TEST(SchedulerThread, WaitsForEmbeddings) {
  GatedModel model(2);
  Running running(model, 10);
  const auto answer = running.submit(count_from(500, 4), 40);
  const auto mean = running.thread.embed(fake_embedding(count_from(0, 11), 0, 11));
  ASSERT_TRUE(mean);
  EXPECT_EQ(mean->tokens, 11U);
  EXPECT_FLOAT_EQ(mean->values.at(0), 5);
  answer->wait();
  EXPECT_EQ(running.thread.stats().answers, 1U) << "an embedding is none";
  EXPECT_EQ(running.thread.stats().running, 0U);
}

TEST(SchedulerThread, ManyThreadsAtOnce) {
  GatedModel model(3);
  std::atomic<int> ended{0};
  std::atomic<int> accepted{0};
  {
    Running running(model, 4);
    std::vector<std::thread> threads;
    for (uint32_t seed = 0; seed < 6; ++seed) {
      threads.emplace_back([&, seed] {
        std::mt19937 random(seed);
        for (int i = 0; i < 60; ++i) {
          auto sink = std::make_shared<WaitingSink>();
          const auto id =
              running.thread.submit(fake_job(count_from(static_cast<int32_t>(random() % 50), 1 + random() % 40),
                                             static_cast<uint32_t>(1 + random() % 20), sink));
          if (!id) {
            static_cast<void>(running.thread.embed(fake_embedding(count_from(0, 5), 0, 5)));
            continue;
          }
          ++accepted;
          if (random() % 3 == 0) {
            running.thread.cancel(*id);
          }
          static_cast<void>(running.thread.stats());
          sink->wait();
          ended += sink->ended_once() ? 1 : 0;
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    EXPECT_EQ(running.thread.stats().answers, static_cast<uint64_t>(accepted.load()));
    EXPECT_EQ(running.thread.stats().running, 0U);
  }
  EXPECT_EQ(ended.load(), accepted.load());
  EXPECT_TRUE(model.in_order());
}

}  // namespace
}  // namespace hypura
