#include "storage/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "storage/test_files.h"
#include "support/log.h"

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
  Scheduler scheduler_{Copies({{.path = "model.gguf"}}, {}), {.chunk_bytes = kBlock, .depth = 4, .prefetch_depth = 2}};
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

TEST_F(SchedulerTest, KnowsWhatIsUnderWayAndWhatIsNot) {
  EXPECT_FALSE(scheduler_.has_queued());
  const ReadGroup first = add(10, 3);
  const ReadGroup second = add(20, 2);
  EXPECT_EQ(scheduler_.in_flight(first), 0U);
  for (int i = 0; i < 4; ++i) {
    issue();
  }
  EXPECT_EQ(scheduler_.in_flight(first), 3U);
  EXPECT_EQ(scheduler_.in_flight(second), 1U);
  EXPECT_TRUE(scheduler_.has_queued()) << "deeper than 4";
  complete(0);
  issue();
  EXPECT_EQ(scheduler_.in_flight(first), 2U);
  EXPECT_EQ(scheduler_.in_flight(second), 2U);
  EXPECT_FALSE(scheduler_.has_queued());
  scheduler_.complete(issued_[1], -EINTR);
  EXPECT_EQ(scheduler_.in_flight(first), 2U) << "it is to be read again";
  EXPECT_TRUE(scheduler_.has_queued());
  EXPECT_EQ(scheduler_.in_flight(second + 1), 0U) << "unknown";
}

TEST_F(SchedulerTest, InterruptedReadGoesOnWhereItStopped) {
  Scheduler scheduler(Copies({{.path = "model.gguf"}}, {}), {.chunk_bytes = 4 * kBlock});
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

// How long a lane is silent depends on what else the machine does.
double standing_clock() {
  return 1;
}

// Two files, the second of which has a copy; that is three times as fast.
class MirroredSchedulerTest : public SchedulerTest {
 protected:
  void SetUp() override { logger().set_level(spdlog::level::off); }
  void TearDown() override { logger().set_level(spdlog::level::warn); }

  ReadGroup add_from(uint32_t file, uint64_t count, Priority priority = Priority::kDemand) {
    const ReadRequest request = {.file = file, .offset = 0, .length = count * kBlock, .destination = memory_.data()};
    return mirrored_.add({&request, 1}, priority);
  }
  // Issues all it can and gives the sources, in order.
  std::vector<uint32_t> issue_all() {
    std::vector<uint32_t> sources;
    while (Scheduler::Chunk* chunk = mirrored_.next()) {
      issued_.push_back(chunk);
      sources.push_back(chunk->source());
    }
    return sources;
  }
  bool end(size_t index, int64_t result) { return mirrored_.complete(issued_[index], result); }

  static constexpr std::array<double, 2> kSpeeds = {1e9, 3e9};
  Scheduler mirrored_{Copies({{.path = "a.gguf", .file = 0},
                              {.path = "b.gguf", .file = 1},
                              {.path = "copy/b.gguf", .file = 1, .copy = 1, .lane = 1}},
                             kSpeeds, standing_clock),
                      {.chunk_bytes = kBlock, .depth = 16, .prefetch_depth = 16}};
};

TEST_F(MirroredSchedulerTest, SharesAreAsTheSpeeds) {
  add_from(1, 16);
  const std::vector<uint32_t> sources = issue_all();
  EXPECT_EQ(std::count(sources.begin(), sources.end(), 2U), 12);
  EXPECT_EQ(std::count(sources.begin(), sources.end(), 1U), 4);
}

TEST_F(MirroredSchedulerTest, AFileWithoutACopyIsReadWhereItIs) {
  add_from(0, 3);
  EXPECT_EQ(issue_all(), std::vector<uint32_t>({0, 0, 0}));
  // What is under way of it is under way on the disk of the other, too: four chunks more before that is as slow.
  add_from(1, 4);
  EXPECT_EQ(issue_all(), std::vector<uint32_t>({2, 2, 2, 2}));
}

TEST_F(MirroredSchedulerTest, WhatFailsOnAMirrorIsReadFromTheFileItself) {
  const ReadGroup group = add_from(1, 3);
  ASSERT_EQ(issue_all(), std::vector<uint32_t>({2, 2, 1}));
  EXPECT_FALSE(end(0, -EIO));
  EXPECT_EQ(issue_all(), std::vector<uint32_t>({1}));
  EXPECT_EQ(issued_[3], issued_[0]);
  EXPECT_EQ(issued_[0]->offset(), 0U);
  EXPECT_EQ(issued_[0]->length(), kBlock);
  EXPECT_FALSE(end(2, kBlock));
  EXPECT_FALSE(end(1, kBlock)) << "what the mirror still delivers is good";
  EXPECT_TRUE(end(0, kBlock));
  EXPECT_TRUE(mirrored_.take(group));

  add_from(1, 4);
  EXPECT_EQ(issue_all(), std::vector<uint32_t>({1, 1, 1, 1})) << "the mirror is dropped";
  EXPECT_EQ(mirrored_.stats().copy_bytes, std::vector<uint64_t>({2 * kBlock, kBlock}));
}

TEST_F(MirroredSchedulerTest, WhenOneMirrorIsGivenUpTheOtherIsStillRead) {
  constexpr std::array<double, 3> kEqual = {1e9, 1e9, 1e9};
  Scheduler scheduler(Copies({{.path = "b.gguf"},
                              {.path = "bad/b.gguf", .copy = 1, .lane = 1},
                              {.path = "good/b.gguf", .copy = 2, .lane = 2}},
                             kEqual, standing_clock),
                      {.chunk_bytes = kBlock, .depth = 16, .prefetch_depth = 16});
  const ReadRequest request = blocks(0, 6);
  scheduler.add({&request, 1}, Priority::kDemand);
  std::vector<Scheduler::Chunk*> chunks;
  while (Scheduler::Chunk* chunk = scheduler.next()) {
    chunks.push_back(chunk);
  }
  const auto bad =
      std::find_if(chunks.begin(), chunks.end(), [](Scheduler::Chunk* chunk) { return chunk->source() == 1; });
  ASSERT_NE(bad, chunks.end());
  EXPECT_FALSE(scheduler.complete(*bad, -EIO));
  const ReadRequest more = blocks(6, 6);
  scheduler.add({&more, 1}, Priority::kDemand);
  size_t good = 0;
  while (Scheduler::Chunk* chunk = scheduler.next()) {
    EXPECT_NE(chunk->source(), 1U);
    good += chunk->source() == 2 ? 1 : 0;
  }
  EXPECT_GT(good, 0U);
}

TEST_F(MirroredSchedulerTest, AShortReadOfAMirrorIsReadAnewAsAWhole) {
  Scheduler scheduler(
      Copies({{.path = "b.gguf"}, {.path = "copy/b.gguf", .copy = 1, .lane = 1}}, kSpeeds, standing_clock),
      {.chunk_bytes = 4 * kBlock});
  const ReadRequest request = blocks(8, 4);
  const ReadGroup group = scheduler.add({&request, 1}, Priority::kDemand);
  Scheduler::Chunk* chunk = scheduler.next();
  ASSERT_EQ(chunk->source(), 1U);
  EXPECT_FALSE(scheduler.complete(chunk, static_cast<int64_t>(2 * kBlock)));
  ASSERT_EQ(scheduler.next(), chunk);
  EXPECT_EQ(chunk->source(), 1U) << "not failed yet";
  EXPECT_FALSE(scheduler.complete(chunk, 0));
  ASSERT_EQ(scheduler.next(), chunk);
  EXPECT_EQ(chunk->source(), 0U);
  EXPECT_EQ(chunk->offset(), 8 * kBlock);
  EXPECT_EQ(chunk->destination(), memory_.data());
  EXPECT_TRUE(scheduler.complete(chunk, static_cast<int64_t>(4 * kBlock)));
  EXPECT_TRUE(scheduler.take(group));
}

TEST_F(MirroredSchedulerTest, WhatThenFailsOnTheFileItselfIsAnError) {
  const ReadGroup group = add_from(1, 1);
  ASSERT_EQ(issue_all(), std::vector<uint32_t>({2}));
  EXPECT_FALSE(end(0, -EIO));
  ASSERT_EQ(issue_all(), std::vector<uint32_t>({1}));
  EXPECT_TRUE(end(0, -ENXIO));
  const Status status = mirrored_.take(group);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_THAT(status.error().message, HasSubstr("offset 0 of 'b.gguf'"));
}

TEST_F(MirroredSchedulerTest, AnInterruptedReadStaysWithItsMirror) {
  add_from(1, 1);
  ASSERT_EQ(issue_all(), std::vector<uint32_t>({2}));
  EXPECT_FALSE(end(0, -EINTR));
  EXPECT_EQ(issue_all(), std::vector<uint32_t>({2}));
}

TEST_F(MirroredSchedulerTest, ACancelledGroupGivesNoMirrorUp) {
  const ReadGroup cancelled = add_from(1, 17);
  issue_all();
  mirrored_.cancel(cancelled);
  for (size_t i = 0; i < 16; ++i) {
    end(i, -EIO);
  }
  EXPECT_EQ(mirrored_.take(cancelled).error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(issue_all().empty());
}

}  // namespace
}  // namespace hypura
