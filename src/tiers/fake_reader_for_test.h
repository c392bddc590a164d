// A reader without a disk, for the tests of this room: reads end when a test says so, in any order, well or badly.
#pragma once

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "storage/reader.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

// The byte of file number `file` at `offset`.
inline std::byte disk_byte(uint32_t file, uint64_t offset) {
  const uint64_t x = (offset / 8 + 1) * 0x9E3779B97F4A7C15ULL + file * 0xD1B54A32D192ED03ULL;
  return static_cast<std::byte>(x >> (offset % 8 * 8));
}

class FakeReader : public Reader {
 public:
  struct Group {
    std::vector<ReadRequest> requests;
    Priority priority = Priority::kDemand;
    bool issued = true;  // to the disk: cancelling does not stop it any more
    bool ended = false;
    bool cancelled = false;
    Status outcome;
  };

  // Whether what is submitted from now on is issued at once; else it can be cancelled, until it ends.
  bool issue_at_once = true;
  // How the next group ends as soon as it is submitted.
  std::optional<Error> fail_next;
  // How many waits had to block.
  int blocked = 0;

  // Of all groups that were submitted, by number; they stay when they were waited for.
  const std::vector<Group>& groups() const { return groups_; }
  // Groups that were submitted and not waited for.
  const std::set<ReadGroup>& under_way() const { return waiting_; }

  // The group, which has been submitted, ends: with its bytes,
  void end(ReadGroup number) {
    Group& group = at(number);
    for (const ReadRequest& request : group.requests) {
      // Whole blocks, as a direct read.
      const uint64_t begin = round_down(request.offset, kDirectAlignment);
      const uint64_t end = round_up(request.offset + request.length, kDirectAlignment);
      std::byte* destination = request.destination - (request.offset - begin);
      for (uint64_t offset = begin; offset < end; ++offset) {
        *destination++ = disk_byte(request.file, offset);
      }
    }
    group.ended = true;
  }
  // or with a failure, half of it having been read.
  void fail_group(ReadGroup number, Error error) {
    Group& group = at(number);
    for (const ReadRequest& request : group.requests) {
      std::fill_n(request.destination, request.length / 2, std::byte{0xEE});
    }
    group.outcome = tl::make_unexpected(std::move(error));
    group.ended = true;
  }
  void end_all() {
    for (const ReadGroup number : waiting_) {
      if (!at(number).ended) {
        end(number);
      }
    }
  }

  ReadGroup submit(std::span<const ReadRequest> requests, Priority priority) override {
    Group group;
    group.requests.assign(requests.begin(), requests.end());
    group.priority = priority;
    group.issued = issue_at_once;
    for (const ReadRequest& request : requests) {
      misplaced |=
          reinterpret_cast<uintptr_t>(request.destination) % kDirectAlignment != request.offset % kDirectAlignment;
    }
    groups_.push_back(std::move(group));
    const ReadGroup number = groups_.size();
    waiting_.insert(number);
    if (fail_next) {
      fail_group(number, *std::exchange(fail_next, std::nullopt));
    }
    return number;
  }

  bool finished(ReadGroup number) override { return waiting_.contains(number) && at(number).ended; }

  Status wait(ReadGroup number) override {
    if (!waiting_.contains(number)) {
      return fail(ErrorCode::kInternal, "read group {} was already waited for, or was never submitted", number);
    }
    if (!at(number).ended) {
      ++blocked;
      end(number);
    }
    waiting_.erase(number);
    return at(number).outcome;
  }

  void poll() override {}

  void promote(ReadGroup number) override { at(number).priority = Priority::kDemand; }

  void cancel(ReadGroup number) override {
    Group& group = at(number);
    group.cancelled = true;
    if (!group.issued && !group.ended) {
      group.outcome = fail(ErrorCode::kCancelled, "the read was cancelled before it was done");
      group.ended = true;
    }
  }

  void register_memory(std::span<std::byte> memory) override { registered = memory; }
  void forget_memory(std::span<std::byte> memory) override { forgotten = memory; }
  ReaderStats stats() const override { return {}; }
  std::string description() const override { return "fake"; }
  std::string notice() const override { return {}; }

  bool misplaced = false;  // a request broke the rules of ReadRequest
  std::span<std::byte> registered;
  std::span<std::byte> forgotten;

 private:
  Group& at(ReadGroup number) { return groups_[number - 1]; }

  std::vector<Group> groups_;
  std::set<ReadGroup> waiting_;
};

}  // namespace hypura
