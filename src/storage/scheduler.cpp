#include "storage/scheduler.h"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

#include "storage/open.h"
#include "support/elapsed.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr uint32_t kMaxAttempts = 64;

// Failures that say nothing about the file. io_uring cancels what a thread has queued when that thread exits, though
// other threads may be waiting for it: ECANCELED is never our doing.
bool is_transient(int error) {
  return error == EINTR || error == EAGAIN || error == ECANCELED;
}

}  // namespace

Scheduler::Scheduler(Copies copies, const ReaderOptions& options)
    : copies_(std::move(copies)),
      chunk_bytes_(options.chunk_bytes),
      prefetch_depth_(options.prefetch_depth),
      chunks_(options.depth) {
  free_.reserve(chunks_.size());
  again_.reserve(chunks_.size());
  for (Chunk& chunk : chunks_) {
    free_.push_back(&chunk);
  }
}

Status Scheduler::check(const ReadRequest& request) const {
  if (request.file >= copies_.files()) {
    return fail(ErrorCode::kInternal, "a read names file number {}, but only {} are open", request.file,
                copies_.files());
  }
  // pread takes a signed offset.
  constexpr uint64_t kMaxEnd = static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) - kDirectAlignment;
  if (request.offset > kMaxEnd || request.length > kMaxEnd - request.offset) {
    return fail(ErrorCode::kInternal, "a read of '{}' reaches past every possible file end: {} bytes at offset {}",
                copies_.path(request.file).string(), request.length, request.offset);
  }
  const auto address = reinterpret_cast<uintptr_t>(request.destination);
  if (address % kDirectAlignment != request.offset % kDirectAlignment) {
    return fail(ErrorCode::kInternal,
                "a read of '{}' at offset {} goes to an address with another remainder modulo {}; place it so that "
                "both are equal",
                copies_.path(request.file).string(), request.offset, kDirectAlignment);
  }
  return {};
}

ReadGroup Scheduler::add(std::span<const ReadRequest> requests, Priority priority) {
  const ReadGroup id = next_group_++;
  Group& group = groups_[id];
  group.id = id;
  group.submitted = priority;
  group.current = priority;
  group.requests.reserve(requests.size());
  group.ends.reserve(requests.size());
  for (const ReadRequest& request : requests) {
    if (request.length == 0) {
      continue;
    }
    if (Status status = check(request); !status) {
      group.requests.clear();
      group.error = std::move(status.error());
      break;
    }
    const uint64_t end = request.offset + request.length;
    const uint64_t begin = round_down(request.offset, kDirectAlignment);
    group.requests.push_back({.file = request.file,
                              .offset = begin,
                              .length = round_up(end, kDirectAlignment) - begin,
                              .destination = request.destination - (request.offset - begin)});
    group.ends.push_back(end);
  }
  if (!group.all_issued()) {
    queue(priority).emplace(id, &group);
  }
  return id;
}

bool Scheduler::can_issue() const {
  if (!again_.empty()) {
    return true;
  }
  if (free_.empty()) {
    return false;
  }
  return !queue(Priority::kDemand).empty() ||
         (!queue(Priority::kPrefetch).empty() && prefetch_in_flight_ < prefetch_depth_);
}

Scheduler::Chunk* Scheduler::next() {
  if (!can_issue()) {
    return nullptr;
  }
  ++stats_.chunks;
  if (!again_.empty()) {
    Chunk* chunk = again_.back();
    again_.pop_back();
    copies_.issue(chunk->source_, chunk->length());
    return chunk;
  }
  Queue& from = queue(Priority::kDemand).empty() ? queue(Priority::kPrefetch) : queue(Priority::kDemand);
  Group& group = *from.begin()->second;
  Chunk* chunk = free_.back();
  free_.pop_back();
  cut(group, *chunk);
  if (group.all_issued()) {
    from.erase(from.begin());
  }

  if (in_flight_++ == 0) {
    busy_since_ = Clock::now();
  }
  ++group.in_flight;
  if (group.current == Priority::kPrefetch) {
    ++prefetch_in_flight_;
  }
  return chunk;
}

void Scheduler::cut(Group& group, Chunk& chunk) {
  const ReadRequest& request = group.requests[group.request];
  chunk.group_ = &group;
  chunk.attempts_ = 0;
  chunk.offset_ = request.offset + group.position;
  chunk.length_ = std::min(chunk_bytes_, request.length - group.position);
  chunk.needed_ = std::min(chunk.length_, group.ends[group.request] - chunk.offset_);
  chunk.done_ = 0;
  chunk.source_ = copies_.choose(request.file, chunk.length_);
  chunk.destination_ = request.destination + group.position;

  group.position += chunk.length_;
  if (group.position == request.length) {
    ++group.request;
    group.position = 0;
  }
}

bool Scheduler::complete(Chunk* chunk, int64_t result, Noticed noticed) {
  Group& group = *chunk->group_;
  const uint64_t bytes = result > 0 ? static_cast<uint64_t>(result) : 0;
  copies_.end(chunk->source_, chunk->length(), bytes, noticed);
  if (bytes > 0) {
    chunk->done_ += bytes;
    chunk->attempts_ = 0;
    (group.submitted == Priority::kDemand ? stats_.demand_bytes : stats_.prefetch_bytes) += bytes;
  }
  conclude(*chunk, result);
  return group.ended();
}

// Decides between done, once more and failed.
void Scheduler::conclude(Chunk& chunk, int64_t result) {
  Group& group = *chunk.group_;
  if (group.error || chunk.done_ >= chunk.needed_) {
    release(&chunk);
    return;
  }
  // A direct read can go on only from a block boundary; it stops elsewhere only where the file ends.
  const bool direct = copies_.source(chunk.source_).direct;
  const bool can_continue = result > 0 && (!direct || chunk.done_ % kDirectAlignment == 0);
  const bool can_repeat = result < 0 && is_transient(static_cast<int>(-result)) && ++chunk.attempts_ < kMaxAttempts;
  if (can_continue || can_repeat) {
    again_.push_back(&chunk);
    return;
  }
  Error error = read_error(chunk, result);
  if (const auto file_itself = copies_.drop(chunk.source_, error)) {
    chunk.source_ = *file_itself;
    chunk.attempts_ = 0;
    chunk.done_ = 0;  // nothing of the mirror's is kept
    again_.push_back(&chunk);
    return;
  }
  fail_group(group, std::move(error));
  release(&chunk);
}

Error Scheduler::read_error(const Chunk& chunk, int64_t result) const {
  const std::string path = copies_.path(chunk.source_).string();
  if (result < 0) {
    return {ErrorCode::kIo, fmt::format("cannot read {} bytes at offset {} of '{}': {}; check the disk and its cables, "
                                        "and the system's log",
                                        chunk.length(), chunk.offset(), path, errno_text(static_cast<int>(-result)))};
  }
  return {
      ErrorCode::kIo,
      fmt::format("'{}' ends too early: a read at offset {} wanted {} bytes and got {}, so the file is shorter than "
                  "its header says or was truncated; fetch it again",
                  path, chunk.offset_, chunk.needed_, chunk.done_)};
}

void Scheduler::release(Chunk* chunk) {
  Group& group = *chunk->group_;
  --group.in_flight;
  if (group.current == Priority::kPrefetch) {
    --prefetch_in_flight_;
  }
  if (--in_flight_ == 0) {
    stats_.busy_seconds += seconds_since(busy_since_);
  }
  chunk->group_ = nullptr;
  free_.push_back(chunk);
}

void Scheduler::fail_group(Group& group, Error error) {
  if (!group.error) {
    group.error = std::move(error);
  }
  group.request = group.requests.size();
  queue(group.current).erase(group.id);
}

uint32_t Scheduler::in_flight(ReadGroup group) const {
  const auto it = groups_.find(group);
  return it == groups_.end() ? 0 : it->second.in_flight;
}

bool Scheduler::ended(ReadGroup group) const {
  const auto found = groups_.find(group);
  return found != groups_.end() && found->second.ended();
}

void Scheduler::promote(ReadGroup id) {
  const auto found = groups_.find(id);
  if (found == groups_.end() || found->second.current == Priority::kDemand) {
    return;
  }
  Group& group = found->second;
  if (queue(Priority::kPrefetch).erase(id) != 0) {
    queue(Priority::kDemand).emplace(id, &group);
  }
  prefetch_in_flight_ -= group.in_flight;
  group.current = Priority::kDemand;
}

void Scheduler::cancel(ReadGroup id) {
  const auto found = groups_.find(id);
  if (found == groups_.end() || found->second.all_issued()) {
    return;
  }
  fail_group(found->second, Error{ErrorCode::kCancelled, "the read was cancelled before it was done"});
}

void Scheduler::cancel_all() {
  for (auto& [id, group] : groups_) {
    cancel(id);
  }
}

Status Scheduler::take(ReadGroup id) {
  const auto found = groups_.find(id);
  if (found == groups_.end()) {
    return fail(ErrorCode::kInternal, "read group {} was already waited for, or was never submitted", id);
  }
  std::optional<Error> error = std::move(found->second.error);
  groups_.erase(found);
  if (error) {
    return propagate(std::move(*error));
  }
  return {};
}

ReaderStats Scheduler::stats() const {
  ReaderStats stats = stats_;
  stats.copy_bytes = copies_.bytes();
  if (in_flight_ > 0) {
    stats.busy_seconds += seconds_since(busy_since_);
  }
  return stats;
}

}  // namespace hypura
