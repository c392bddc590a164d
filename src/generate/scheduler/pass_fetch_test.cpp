// What is kept beyond the context is put in between passes: others' answers go on meanwhile.

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "generate/scheduler/scheduler_fakes_for_test.h"
#include "llama/tokenizer/common_beginning.h"

namespace hypura {
namespace {

constexpr uint32_t kBlock = 10;  // tokens

std::vector<int32_t> text_from(int32_t from, size_t count) {
  std::vector<int32_t> tokens(count);
  std::iota(tokens.begin(), tokens.end(), from);
  return tokens;
}

// Keeps one text, in blocks.
class OneText final : public KvKeeper {
 public:
  OneText(FakeModel& model, std::vector<int32_t> text) : model_(model), text_(std::move(text)) {}

  std::unique_ptr<KvFetch> fetch(std::span<const int32_t> text, uint32_t held) override {
    const uint32_t same = common_beginning(text, text_) / kBlock * kBlock;
    return same > held ? std::make_unique<Blocks>(*this, text, held / kBlock * kBlock, same) : nullptr;
  }
  void losing(uint32_t /*sequence*/, std::span<const int32_t> /*tokens*/, uint32_t /*left*/) override {}
  Kept keep(uint32_t /*sequence*/, std::span<const int32_t> /*tokens*/, uint32_t& /*done*/, bool /*wait*/) override {
    return Kept::kAll;
  }
  uint32_t stride() const override { return UINT32_MAX; }
  void note_busy(bool /*busy*/) override {}

  uint32_t put_in = 0;             // blocks
  uint32_t fails_at = UINT32_MAX;  // the block that begins there

 private:
  class Blocks final : public KvFetch {
   public:
    Blocks(OneText& kept, std::span<const int32_t> text, uint32_t from, uint32_t end)
        : kept_(kept), text_(text), from_(from), end_(end) {}
    uint32_t from() const override { return from_; }
    uint32_t next() const override { return from_ < end_ ? kBlock : 0; }
    bool load(uint32_t sequence) override {
      const bool works = from_ != kept_.fails_at;
      kept_.model_.restore(sequence, text_.subspan(from_, works ? kBlock : 3));
      kept_.put_in += works ? 1 : 0;
      from_ += kBlock;
      return works;
    }

   private:
    OneText& kept_;
    std::span<const int32_t> text_;
    uint32_t from_;
    uint32_t end_;
  };

  FakeModel& model_;
  std::vector<int32_t> text_;
};

TEST(PassFetch, OthersGoOnWhileAConversationIsFetched) {
  FakeModel model(4);
  const std::vector<int32_t> text = text_from(0, 200);
  OneText kept(model, text);
  DrivenScheduler driven(model, nullptr, 4, 1000, &kept);
  const uint64_t other = driven.start(text_from(5000, 5), 300);
  driven.pass();
  const uint64_t asked = driven.start(text_from(0, 205), 4);
  uint32_t beside = 0;  // passes of the other one while the conversation is not yet there
  for (; kept.put_in < 20; ++beside) {
    const size_t before = model.passes().size();
    driven.pass();
    ASSERT_EQ(model.passes().size(), before + 1);
    ASSERT_FALSE(driven.ended(other));
  }
  EXPECT_GE(beside, 2U);
  driven.run();
  EXPECT_EQ(driven.end(asked).cached_prompt_tokens, 200U);
  EXPECT_EQ(model.evaluated(), 5U + 5U);
  EXPECT_EQ(driven.text(asked), said_alone(text_from(0, 205), 4));
  EXPECT_EQ(driven.text(other), said_alone(text_from(5000, 5), 300));
  EXPECT_TRUE(model.in_order());
}

TEST(PassFetch, AloneItIsFetchedEntryByEntry) {
  FakeModel model(2);
  OneText kept(model, text_from(0, 100));
  DrivenScheduler driven(model, nullptr, 2, 1000, &kept);
  const uint64_t asked = driven.start(text_from(0, 101), 2);
  for (uint32_t blocks = 1; blocks <= 9; ++blocks) {
    driven.pass();
    ASSERT_EQ(kept.put_in, blocks) << "who comes meanwhile waits for one";
    ASSERT_TRUE(model.passes().empty());
  }
  EXPECT_EQ(driven.run(asked).cached_prompt_tokens, 100U);
  EXPECT_EQ(driven.text(asked), said_alone(text_from(0, 101), 2));
}

TEST(PassFetch, WhoIsCancelledMeanwhileLeavesWhatIsThere) {
  FakeModel model(2);
  OneText kept(model, text_from(0, 100));
  DrivenScheduler driven(model, nullptr, 2, 1000, &kept);
  const uint64_t dropped = driven.start(text_from(0, 101), 2);
  driven.pass();
  driven.pass();
  driven.cancel(dropped);
  EXPECT_EQ(driven.end(dropped).stop, StopReason::kCancelled);
  const uint64_t again = driven.start(text_from(0, 101), 2);
  EXPECT_EQ(driven.run(again).cached_prompt_tokens, 100U);
  EXPECT_EQ(kept.put_in, 10U) << "none twice";
  EXPECT_EQ(driven.text(again), said_alone(text_from(0, 101), 2));
}

TEST(PassFetch, TheSameBeginningIsFetchedOnce) {
  FakeModel model(4);
  OneText kept(model, text_from(0, 100));
  DrivenScheduler driven(model, nullptr, 4, 1000, &kept);
  std::vector<int32_t> second = text_from(0, 100);
  second.push_back(7);
  const uint64_t one = driven.start(text_from(0, 105), 3);
  const uint64_t two = driven.start(second, 3);
  driven.run();
  EXPECT_EQ(kept.put_in, 10U);
  EXPECT_EQ(model.evaluated(), 5U + 1U);
  EXPECT_EQ(driven.text(one), said_alone(text_from(0, 105), 3));
  EXPECT_EQ(driven.text(two), said_alone(second, 3));
}

TEST(PassFetch, WhatIsDamagedIsComputed) {
  FakeModel model(2);
  OneText kept(model, text_from(0, 100));
  kept.fails_at = 40;
  DrivenScheduler driven(model, nullptr, 2, 1000, &kept);
  const uint64_t asked = driven.start(text_from(0, 101), 2);
  EXPECT_EQ(driven.run(asked).cached_prompt_tokens, 40U);
  EXPECT_EQ(model.evaluated(), 61U);
  EXPECT_EQ(driven.text(asked), said_alone(text_from(0, 101), 2));
  EXPECT_TRUE(model.in_order());
}

TEST(PassFetch, AnEmbeddingTakesOverWhatItIsNotMadeOf) {
  FakeModel model(2);
  OneText kept(model, text_from(0, 100));
  DrivenScheduler driven(model, nullptr, 2, 1000, &kept);
  const uint64_t asked = driven.start(fake_embedding(text_from(0, 50), 25, 50));
  driven.run();
  ASSERT_TRUE(driven.embedding(asked).has_value());
  EXPECT_EQ(kept.put_in, 2U);
  EXPECT_FLOAT_EQ(driven.embedding(asked)->values[0], 37);
}

// Cells that are too few for all, jobs that are dropped, and blocks that are damaged, while others are fetched.
TEST(PassFetch, ManyConversationsSayWhatTheySayAlone) {
  std::mt19937 random(7);
  const auto any = [&](uint32_t below) { return static_cast<uint32_t>(random() % below); };
  for (int round = 0; round < 60; ++round) {
    FakeModel model(6, {16, 16}, 260);
    OneText kept(model, text_from(0, 120));
    kept.fails_at = round % 3 == 0 ? kBlock * any(12) : UINT32_MAX;
    DrivenScheduler driven(model, nullptr, 4, 260, &kept);
    std::map<uint64_t, std::vector<int32_t>> asked;
    std::vector<uint64_t> dropped;
    for (int i = 0; i < 10; ++i) {
      std::vector<int32_t> prompt = text_from(0, any(130));
      prompt.push_back(static_cast<int32_t>(9000 + any(4)));
      Job job = fake_job(prompt, 1 + any(30), nullptr);
      job.limit = 200;
      const uint64_t id = driven.start(std::move(job));
      asked[id] = prompt;
      if (any(3) == 0) {
        dropped.push_back(id);
      }
      for (uint32_t passes = any(4); passes > 0; --passes) {
        driven.pass();
      }
      if (!dropped.empty() && any(2) == 0) {
        driven.cancel(dropped.back());
      }
    }
    driven.run();
    for (const auto& [id, prompt] : asked) {
      const AnswerEnd& end = driven.end(id);
      if (end.stop != StopReason::kCancelled) {
        EXPECT_EQ(driven.text(id), said_alone(prompt, end.answer_tokens));
      }
    }
    ASSERT_TRUE(model.in_order()) << round;
    ASSERT_EQ(model.unplaced(), 0U) << round;
  }
}

}  // namespace
}  // namespace hypura
