// The bookkeeping of reads, without the reading: groups, priorities, chunks, depths, errors, statistics. Both issuers
// (io_uring and the pread pool) drive this one. Not thread-safe: the reader's lock is held around every call.
//
// Invariants:
// - There are `depth` chunk records, made once. A record is free, or in flight (handed out by next() and not yet
//   given back to complete(), or waiting in again_ to be handed out again). Reading allocates nothing per chunk.
// - A group with unissued chunks is in exactly one queue, that of its current priority; any other group is in none.
// - A group has ended when it has no unissued chunks and none in flight. It stays until take().
// - Once a group has an error, none of its chunks is issued any more.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "storage/copies.h"
#include "storage/reader.h"

namespace hypura {

class Scheduler {
 private:
  struct Group {
    ReadGroup id = 0;
    Priority submitted = Priority::kDemand;
    Priority current = Priority::kDemand;  // kDemand after promote()
    std::vector<ReadRequest> requests;     // widened to whole blocks
    std::vector<uint64_t> ends;            // the last byte asked for of each request, plus one, as a file offset
    size_t request = 0;                    // the next chunk starts in this request,
    uint64_t position = 0;                 // this many bytes into it
    uint32_t in_flight = 0;
    std::optional<Error> error;

    bool all_issued() const { return request == requests.size(); }
    bool ended() const { return all_issued() && in_flight == 0; }
  };

 public:
  // One read for an issuer: `length` bytes at `offset` of the open file with the number `source` to `destination`,
  // whole blocks all. The pointer stays valid until complete().
  class Chunk {
   public:
    uint32_t source() const { return source_; }
    uint64_t offset() const { return offset_ + done_; }
    uint64_t length() const { return length_ - done_; }
    std::byte* destination() const { return destination_ + done_; }

   private:
    friend class Scheduler;
    Group* group_ = nullptr;
    uint32_t source_ = 0;
    uint32_t attempts_ = 0;  // in a row without progress
    uint64_t offset_ = 0;
    uint64_t length_ = 0;
    uint64_t needed_ = 0;  // of `length_`; what follows may lie past the end of the file
    uint64_t done_ = 0;
    std::byte* destination_ = nullptr;
  };

  Scheduler(Copies copies, const ReaderOptions& options);

  // Queues a group. A request that breaks the rules makes the whole group fail without a read.
  ReadGroup add(std::span<const ReadRequest> requests, Priority priority);

  // The next chunk to read, now in flight; null when nothing is queued or the depths are reached.
  Chunk* next();
  // Whether next() would give a chunk.
  bool can_issue() const;

  // Takes a chunk back with what the kernel said: bytes read, or a negative errno. An interrupted read is queued again,
  // and so, for the file itself, is one that failed on a mirror. True when its group has ended by this.
  bool complete(Chunk* chunk, int64_t result, Noticed noticed = Noticed::kAtOnce);

  bool knows(ReadGroup group) const { return groups_.contains(group); }
  bool ended(ReadGroup group) const;
  // From now on a demand group, in its order of submission.
  void promote(ReadGroup id);
  void cancel(ReadGroup id);
  void cancel_all();
  // Forgets an ended group and gives its outcome.
  Status take(ReadGroup id);

  uint32_t in_flight() const { return in_flight_; }
  // Of one group, which may be unknown.
  uint32_t in_flight(ReadGroup group) const;
  // Whether chunks wait for a place, or to be read again.
  bool has_queued() const { return !queues_[0].empty() || !queues_[1].empty() || !again_.empty(); }
  // Everything but wait_seconds.
  ReaderStats stats() const;

 private:
  using Clock = std::chrono::steady_clock;
  using Queue = std::map<ReadGroup, Group*>;  // by group number: the order of submission

  Status check(const ReadRequest& request) const;
  Queue& queue(Priority priority) { return queues_[static_cast<size_t>(priority)]; }
  const Queue& queue(Priority priority) const { return queues_[static_cast<size_t>(priority)]; }
  void cut(Group& group, Chunk& chunk);
  void conclude(Chunk& chunk, int64_t result);
  void release(Chunk* chunk);
  void fail_group(Group& group, Error error);
  Error read_error(const Chunk& chunk, int64_t result) const;

  Copies copies_;
  uint64_t chunk_bytes_;
  uint32_t prefetch_depth_;

  ReadGroup next_group_ = 1;
  std::map<ReadGroup, Group> groups_;
  std::array<Queue, 2> queues_;
  std::vector<Chunk> chunks_;
  std::vector<Chunk*> free_;
  std::vector<Chunk*> again_;
  uint32_t in_flight_ = 0;
  uint32_t prefetch_in_flight_ = 0;  // of groups whose current priority is kPrefetch

  ReaderStats stats_;
  Clock::time_point busy_since_;  // meaningful while in_flight_ > 0
};

}  // namespace hypura
