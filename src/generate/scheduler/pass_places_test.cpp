// Who has a sequence and cells, who waits: what agents ask for at once, and a pool of cells that is too small for all.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>

#include "generate/scheduler/scheduler_fakes_for_test.h"

namespace hypura {
namespace {

constexpr uint32_t kIds = 12;

std::vector<int32_t> tokens_from(int32_t from, size_t count) {
  std::vector<int32_t> tokens(count);
  std::iota(tokens.begin(), tokens.end(), from);
  return tokens;
}

std::vector<int32_t> joined(std::vector<int32_t> begin, const std::vector<int32_t>& rest) {
  begin.insert(begin.end(), rest.begin(), rest.end());
  return begin;
}

Job job_of(std::vector<int32_t> prompt, uint32_t answer, uint32_t limit) {
  Job job = fake_job(std::move(prompt), answer, nullptr);
  job.limit = limit;
  return job;
}

TEST(PassPlaces, TenAgentsHaveTheirCommonPartEvaluatedOnce) {
  FakeModel model(kIds);
  DrivenScheduler driven(model, nullptr, 4);
  const std::vector<int32_t> system = tokens_from(0, 195);  // 12 passes, and 3 tokens
  std::map<uint64_t, std::vector<int32_t>> asked;
  for (int32_t i = 0; i < 10; ++i) {
    const std::vector<int32_t> prompt = joined(system, tokens_from(1000 * (i + 1), 10));
    asked[driven.start(prompt, 8)] = prompt;
  }
  driven.run();
  EXPECT_EQ(model.evaluated(), 195U + 10 * 10U);
  uint32_t cached = 0;
  for (const auto& [id, prompt] : asked) {
    EXPECT_EQ(driven.text(id), said_alone(prompt, 8));
    cached += driven.end(id).cached_prompt_tokens;
  }
  EXPECT_EQ(cached, 9 * 195U) << "and told";
  EXPECT_TRUE(model.in_order());
}

TEST(PassPlaces, AShortCommonBeginningIsNotWaitedFor) {
  FakeModel model(4, {16, 16});
  DrivenScheduler driven(model);
  driven.start(joined(tokens_from(0, 7), tokens_from(100, 5)), 3);
  driven.start(joined(tokens_from(0, 7), tokens_from(200, 5)), 3);
  driven.pass();
  EXPECT_EQ(driven.scheduler().waiting(), 0U);
  EXPECT_EQ(model.passes().front().size(), 16U) << "both are in the first pass";
}

// The client gave up and asks again, before or after the server has seen that it is gone.
TEST(PassPlaces, ARetryGoesOnWhereTheDroppedPromptWas) {
  for (const bool seen : {false, true}) {
    FakeModel model(4, {16, 16});
    DrivenScheduler driven(model, nullptr, 2);
    const std::vector<int32_t> prompt = tokens_from(0, 400);
    const uint64_t dropped = driven.start(prompt, 5);
    for (int i = 0; i < 12; ++i) {
      driven.pass();
    }
    if (seen) {
      driven.cancel(dropped);
    }
    const uint64_t again = driven.start(prompt, 5);
    driven.pass();
    if (!seen) {
      EXPECT_EQ(driven.scheduler().waiting(), 1U);
      driven.cancel(dropped);
    }
    EXPECT_EQ(driven.run(again).stop, StopReason::kLength);
    EXPECT_EQ(driven.text(again), said_alone(prompt, 5));
    EXPECT_EQ(model.evaluated(), 400U) << "nothing twice";
  }
}

TEST(PassPlaces, WhoWaitsForABeginningIsCancelledAtOnce) {
  FakeModel model(4, {16, 16});
  DrivenScheduler driven(model, nullptr, 2);
  driven.start(tokens_from(0, 400), 5);
  const uint64_t waits = driven.start(tokens_from(0, 400), 5);
  driven.pass();
  EXPECT_EQ(driven.scheduler().free_places(), 0U);
  driven.cancel(waits);
  EXPECT_EQ(driven.end(waits).stop, StopReason::kCancelled);
  EXPECT_EQ(driven.end(waits).answer_tokens, 0U);
  EXPECT_EQ(driven.scheduler().free_places(), 1U);
  driven.start(tokens_from(0, 400), 5);
  driven.pass();
  driven.scheduler().cancel_all();
  EXPECT_EQ(driven.scheduler().take_ended().size(), 2U);
  EXPECT_TRUE(driven.scheduler().idle());
}

// With one answer at a time, and cells for little more than the conversation.
TEST(PassPlaces, SideRequestsNeverEvictTheConversation) {
  FakeModel model(5, {64, 64}, 1125);
  DrivenScheduler driven(model, nullptr, 1, 1125);
  std::vector<int32_t> conversation = tokens_from(0, 900);
  for (int32_t turn = 0; turn < 4; ++turn) {
    for (int32_t i = 0; i < 40; ++i) {
      driven.run(
          driven.start(job_of(tokens_from(10000 * (turn + 1) + 200 * i, 60 + 3 * static_cast<size_t>(i)), 9, 1000)));
    }
    const AnswerEnd end = driven.run(driven.start(job_of(conversation, 6, 1000)));
    EXPECT_GE(end.cached_prompt_tokens + 20, turn == 0 ? 0 : conversation.size());
    conversation = joined(end.tokens, tokens_from(5000 + 100 * turn, 10));
  }
  EXPECT_EQ(model.unplaced(), 0U);
  EXPECT_LE(driven.cache().used_cells(), 1125U);
}

TEST(PassPlaces, WhenCellsRunOutTheYoungestMakesRoom) {
  FakeModel model(kIds, {16, 16}, 110);
  DrivenScheduler driven(model, nullptr, 4, 110);
  std::vector<uint64_t> ids;
  for (int32_t i = 0; i < 4; ++i) {
    ids.push_back(driven.start(job_of(tokens_from(100 * i, 10), 70, 100)));
  }
  std::vector<uint64_t> order;
  while (!driven.scheduler().idle()) {
    driven.pass();
    EXPECT_LE(model.used_cells(), 110U);
    EXPECT_EQ(model.used_cells(), driven.cache().used_cells());
    for (const uint64_t id : ids) {
      if (driven.ended(id) && std::find(order.begin(), order.end(), id) == order.end()) {
        order.push_back(id);
      }
    }
  }
  EXPECT_EQ(order, ids) << "the oldest ends first";
  for (size_t i = 0; i < ids.size(); ++i) {
    EXPECT_EQ(driven.end(ids[i]).stop, StopReason::kLength);
    EXPECT_EQ(driven.text(ids[i]), said_alone(tokens_from(100 * static_cast<int32_t>(i), 10), 70));
  }
  EXPECT_EQ(model.unplaced(), 0U);
}

// Two whose prompts fit, and whose answers do not.
TEST(PassPlaces, AParkedAnswerGoesOn) {
  FakeModel model(4, {16, 16}, 1000);
  DrivenScheduler driven(model, nullptr, 2, 1000);
  const uint64_t first = driven.start(job_of(tokens_from(0, 100), 600, 1000));
  const uint64_t second = driven.start(job_of(tokens_from(5000, 100), 600, 1000));
  while (!driven.ended(first)) {
    driven.pass();
    ASSERT_LE(model.used_cells(), 1000U);
  }
  EXPECT_GT(driven.scheduler().counts().parked, 0U);
  EXPECT_LT(driven.scheduler().counts().parked, 4U) << "not again and again";
  driven.run();
  EXPECT_EQ(driven.text(first), said_alone(tokens_from(0, 100), 600));
  EXPECT_EQ(driven.text(second), said_alone(tokens_from(5000, 100), 600));
  EXPECT_EQ(driven.end(second).prompt_tokens, 100U);
  EXPECT_EQ(model.unplaced(), 0U);
}

TEST(PassPlaces, APassThatFindsNoCellsIsMadeAgainWithLess) {
  FakeModel model(4, {16, 16});
  DrivenScheduler driven(model, nullptr, 3);
  const uint64_t first = driven.start(tokens_from(0, 20), 12);
  const uint64_t second = driven.start(tokens_from(500, 20), 12);
  const uint64_t mean = driven.start(fake_embedding(tokens_from(0, 11), 0, 11));
  for (int i = 0; i < 2; ++i) {
    driven.pass();
    model.find_no_slot();
  }
  driven.pass();
  EXPECT_EQ(driven.scheduler().waiting(), 2U) << "the oldest goes on alone";
  driven.run();
  EXPECT_EQ(model.unplaced(), 2U);
  EXPECT_EQ(driven.text(first), said_alone(tokens_from(0, 20), 12));
  EXPECT_EQ(driven.text(second), said_alone(tokens_from(500, 20), 12));
  ASSERT_TRUE(driven.embedding(mean));
  EXPECT_FLOAT_EQ(driven.embedding(mean)->values.at(0), 5);
  const uint64_t alone = driven.start(tokens_from(900, 20), 4);
  driven.pass();
  for (int i = 0; i < 2 && !driven.ended(alone); ++i) {
    model.find_no_slot();
    driven.pass();
  }
  EXPECT_EQ(driven.end(alone).stop, StopReason::kError) << "there is nothing more to spare";
  EXPECT_TRUE(model.in_order());
}

// Many jobs of all kinds on few cells.
class ManyJobs {
 public:
  explicit ManyJobs(uint32_t seed)
      : random_(seed),
        cells_(110 + below(200)),
        model_(kIds, {16, 16}, cells_),
        driven_(model_, nullptr, 1 + below(6), cells_) {}

  void run() {
    for (int step = 0; step < 400; ++step) {
      if (below(3) == 0 && driven_.scheduler().free_places() > 0) {
        start();
      } else if (below(40) == 0 && !asked_.empty()) {
        driven_.cancel(1 + below(static_cast<uint32_t>(asked_.size())));
      } else {
        pass();
      }
    }
    for (int passes = 0; !driven_.scheduler().idle(); ++passes) {
      ASSERT_LT(passes, 10000) << "somebody waits for ever";
      pass();
    }
    check();
  }

 private:
  uint32_t below(uint32_t end) { return static_cast<uint32_t>(random_() % end); }

  // Many have a beginning in common.
  void start() {
    const std::vector<int32_t> begin = tokens_from(1000 * static_cast<int32_t>(below(3)), below(60));
    const std::vector<int32_t> prompt =
        joined(begin, tokens_from(static_cast<int32_t>(5000 + below(500)), 1 + below(30)));
    if (below(8) == 0) {
      const auto size = static_cast<uint32_t>(prompt.size());
      driven_.start(fake_embedding(prompt, below(2) == 0 ? 0 : size - 1, size));
      asked_.emplace_back();
    } else {
      driven_.start(job_of(prompt, 1 + below(60), 100));
      asked_.push_back(prompt);
    }
  }

  void pass() {
    driven_.pass();
    ASSERT_LE(model_.used_cells(), cells_);
    ASSERT_EQ(model_.used_cells(), driven_.cache().used_cells());
  }

  void check() {
    for (size_t i = 0; i < asked_.size(); ++i) {
      ASSERT_TRUE(driven_.ended(i + 1));
      if (asked_[i].empty()) {
        continue;
      }
      const AnswerEnd& end = driven_.end(i + 1);
      std::string alone = said_alone(asked_[i], end.answer_tokens);
      if (end.stop == StopReason::kCancelled) {
        alone.pop_back();
      }
      ASSERT_TRUE(end.stop != StopReason::kError);
      ASSERT_EQ(driven_.text(i + 1), alone);
    }
    EXPECT_EQ(model_.unplaced(), 0U);
    EXPECT_TRUE(model_.in_order());
  }

  std::mt19937 random_;
  uint32_t cells_;
  FakeModel model_;
  DrivenScheduler driven_;
  std::vector<std::vector<int32_t>> asked_;  // by id, from 1; empty: an embedding
};

TEST(PassPlaces, ManyJobsOnFewCellsSayWhatTheySayAlone) {
  for (uint32_t seed = 0; seed < 30; ++seed) {
    SCOPED_TRACE(seed);
    ManyJobs(seed).run();
    ASSERT_FALSE(HasFailure());
  }
}

}  // namespace
}  // namespace hypura
