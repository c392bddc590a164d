#include "storage/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "storage/test_files.h"

namespace hypura {
namespace {

using testing::HasSubstr;

constexpr uint64_t kBlock = kDirectAlignment;

class SchedulerTest : public testing::Test {
 protected:
  ReadRequest blocks(uint64_t first, uint64_t count) const {
    return {.file = 0, .offset = first * kBlock, .length = count * kBlock, .destination = memory_.data()};
  }
  ReadGroup add(uint64_t first, uint64_t count, Priority priority = Priority::kDemand) {
    const ReadRequest request = blocks(first, count);
    return scheduler_.add({&request, 1}, priority);
  }
  // Issues one chunk and gives the block it starts at.
  uint64_t issue() {
    Scheduler::Chunk* chunk = scheduler_.next();
    if (chunk == nullptr) {
      ADD_FAILURE() << "nothing to issue";
      return 0;
    }
    issued_.push_back(chunk);
    return chunk->offset() / kBlock;
  }
  bool complete(size_t index) {
    return scheduler_.complete(issued_[index], static_cast<int64_t>(issued_[index]->length()));
  }

  Memory memory_{64 * kBlock};
  std::vector<Scheduler::Chunk*> issued_;
  Scheduler scheduler_{{"model.gguf"}, {.chunk_bytes = kBlock, .depth = 4, .prefetch_depth = 2}, true};
};

TEST_F(SchedulerTest, DemandGoesFirstAndOrderIsKept) {
  add(10, 2, Priority::kPrefetch);
  add(20, 2);
  add(30, 1);
  EXPECT_EQ(issue(), 20U);
  EXPECT_EQ(issue(), 21U);
  EXPECT_EQ(issue(), 30U);
  EXPECT_EQ(issue(), 10U);
  EXPECT_EQ(scheduler_.next(), nullptr) << "deeper than 4";
  complete(0);
  EXPECT_EQ(issue(), 11U);
}

TEST_F(SchedulerTest, PrefetchLeavesRoomForDemand) {
  const ReadGroup prefetch = add(10, 4, Priority::kPrefetch);
  issue();
  issue();
  EXPECT_FALSE(scheduler_.can_issue());
  add(20, 1);
  EXPECT_EQ(issue(), 20U);
  EXPECT_FALSE(scheduler_.can_issue());
  scheduler_.promote(prefetch);
  EXPECT_EQ(issue(), 12U) << "promoted chunks in flight must no longer count as prefetch";
  add(30, 4, Priority::kPrefetch);
  complete(0);
  complete(1);
  EXPECT_EQ(issue(), 13U);
  EXPECT_EQ(issue(), 30U);
  for (size_t i = 2; i < 6; ++i) {
    complete(i);
  }
  EXPECT_TRUE(scheduler_.ended(prefetch));
  issue();
  issue();
  EXPECT_FALSE(scheduler_.can_issue()) << "the promoted group left the count of prefetch chunks wrong";
}

TEST_F(SchedulerTest, PromotedGroupTakesItsPlaceBySubmission) {
  const ReadGroup early = add(10, 1, Priority::kPrefetch);
  add(20, 1);
  scheduler_.promote(early);
  EXPECT_EQ(issue(), 10U);
}

TEST_F(SchedulerTest, EndsWithItsLastChunk) {
  const ReadGroup group = add(0, 2);
  issue();
  issue();
  EXPECT_FALSE(complete(1));
  EXPECT_FALSE(scheduler_.ended(group));
  EXPECT_TRUE(complete(0));
  EXPECT_TRUE(scheduler_.ended(group));
  EXPECT_TRUE(scheduler_.take(group));
  EXPECT_EQ(scheduler_.take(group).error().code, ErrorCode::kInternal);
}

TEST_F(SchedulerTest, InterruptedReadGoesOnWhereItStopped) {
  Scheduler scheduler({"model.gguf"}, {.chunk_bytes = 4 * kBlock}, true);
  const ReadRequest request = blocks(8, 4);
  const ReadGroup group = scheduler.add({&request, 1}, Priority::kDemand);
  Scheduler::Chunk* chunk = scheduler.next();
  for (const int error : {EINTR, EAGAIN, ECANCELED}) {
    EXPECT_FALSE(scheduler.complete(chunk, -error));
    ASSERT_EQ(scheduler.next(), chunk);
  }
  EXPECT_FALSE(scheduler.complete(chunk, static_cast<int64_t>(kBlock)));
  ASSERT_EQ(scheduler.next(), chunk);
  EXPECT_EQ(chunk->offset(), 9 * kBlock);
  EXPECT_EQ(chunk->length(), 3 * kBlock);
  EXPECT_EQ(chunk->destination(), memory_.data() + kBlock);
  EXPECT_TRUE(scheduler.complete(chunk, static_cast<int64_t>(3 * kBlock)));
  EXPECT_TRUE(scheduler.take(group));
  EXPECT_EQ(scheduler.stats().demand_bytes, 4 * kBlock);
  EXPECT_EQ(scheduler.stats().chunks, 5U);
}

TEST_F(SchedulerTest, EndlessInterruptionIsAnError) {
  const ReadGroup group = add(0, 1);
  for (int i = 0; i < 1000 && !scheduler_.ended(group); ++i) {
    Scheduler::Chunk* chunk = scheduler_.next();
    ASSERT_NE(chunk, nullptr);
    scheduler_.complete(chunk, -EAGAIN);
  }
  ASSERT_TRUE(scheduler_.ended(group));
  EXPECT_EQ(scheduler_.take(group).error().code, ErrorCode::kIo);
}

TEST_F(SchedulerTest, DirectReadThatStopsInsideABlockIsTheEndOfTheFile) {
  const ReadGroup group = add(3, 1);
  issue();
  EXPECT_TRUE(scheduler_.complete(issued_[0], 100));
  const Status status = scheduler_.take(group);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_THAT(status.error().message, HasSubstr("'model.gguf'"));
  EXPECT_THAT(status.error().message, HasSubstr("offset 12288 wanted 4096 bytes and got 100"));
}

TEST_F(SchedulerTest, FailureDropsTheRestAndTheFirstErrorStays) {
  const ReadGroup group = add(0, 8);
  for (int i = 0; i < 4; ++i) {
    issue();
  }
  EXPECT_FALSE(scheduler_.complete(issued_[0], -EIO));
  EXPECT_EQ(scheduler_.next(), nullptr);
  scheduler_.complete(issued_[1], -EFAULT);
  complete(2);
  EXPECT_TRUE(complete(3));
  EXPECT_THAT(scheduler_.take(group).error().message, HasSubstr("Input/output error"));
}

TEST_F(SchedulerTest, CancelDropsOnlyWhatIsNotIssued) {
  const ReadGroup partly = add(0, 8);
  issue();
  scheduler_.cancel(partly);
  EXPECT_EQ(scheduler_.next(), nullptr);
  EXPECT_FALSE(scheduler_.ended(partly));
  EXPECT_TRUE(complete(0));
  EXPECT_EQ(scheduler_.take(partly).error().code, ErrorCode::kCancelled);

  const ReadGroup issued = add(0, 1);
  issue();
  scheduler_.cancel(issued);
  EXPECT_TRUE(complete(1));
  EXPECT_TRUE(scheduler_.take(issued));
}

TEST_F(SchedulerTest, RefusesRequestsThatBreakTheRules) {
  for (const ReadRequest& bad : {ReadRequest{.file = 1, .offset = 0, .length = 1, .destination = memory_.data()},
                                 ReadRequest{.file = 0, .offset = 8, .length = 1, .destination = memory_.data()},
                                 ReadRequest{.file = 0, .offset = 1ULL << 63, .length = 1, .destination = nullptr},
                                 ReadRequest{.file = 0, .offset = 0, .length = ~0ULL, .destination = nullptr}}) {
    const std::array<ReadRequest, 2> requests = {blocks(0, 1), bad};
    const ReadGroup group = scheduler_.add(requests, Priority::kDemand);
    EXPECT_EQ(scheduler_.next(), nullptr);
    ASSERT_TRUE(scheduler_.ended(group));
    EXPECT_EQ(scheduler_.take(group).error().code, ErrorCode::kInternal);
  }
}

TEST_F(SchedulerTest, BytesCountForThePrioritySubmittedWith) {
  const ReadGroup group = add(0, 1, Priority::kPrefetch);
  scheduler_.promote(group);
  issue();
  complete(0);
  EXPECT_EQ(scheduler_.stats().prefetch_bytes, kBlock);
  EXPECT_EQ(scheduler_.stats().demand_bytes, 0U);
}

}  // namespace
}  // namespace hypura
