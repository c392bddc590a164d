#include "storage/reader_core.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "support/elapsed.h"

namespace hypura {

namespace {

Copies copies_of(const OpenFiles& files) {
  std::vector<Source> sources;
  for (const OpenFile& file : files.files) {
    sources.push_back({file.path, file.direct, file.file, file.copy, file.lane});
  }
  return {std::move(sources), files.speeds};
}

}  // namespace

ReaderCore::ReaderCore(OpenFiles files, const ReaderOptions& options, std::string how)
    : scheduler_(copies_of(files), options), files_(std::move(files)), how_(std::move(how)) {}

ReadGroup ReaderCore::submit(std::span<const ReadRequest> requests, Priority priority) {
  const std::lock_guard lock(mutex_);
  const ReadGroup group = scheduler_.add(requests, priority);
  advance();
  return group;
}

bool ReaderCore::finished(ReadGroup group) {
  const std::lock_guard lock(mutex_);
  advance();
  return scheduler_.ended(group);
}

void ReaderCore::promote(ReadGroup group) {
  const std::lock_guard lock(mutex_);
  scheduler_.promote(group);
  advance();
}

Status ReaderCore::wait(ReadGroup group) {
  const auto start = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  scheduler_.promote(group);
  advance();
  // Looked up again after each block: another thread may have waited for the same group, against the rules.
  while (scheduler_.knows(group) && !scheduler_.ended(group)) {
    block(lock, group);
  }
  wait_seconds_ += seconds_since(start);
  return scheduler_.take(group);
}

void ReaderCore::poll() {
  const std::lock_guard lock(mutex_);
  advance();
}

void ReaderCore::cancel(ReadGroup group) {
  const std::lock_guard lock(mutex_);
  scheduler_.cancel(group);
  ended_.notify_all();
  advance();
}

ReaderStats ReaderCore::stats() const {
  const std::lock_guard lock(mutex_);
  ReaderStats stats = scheduler_.stats();
  stats.wait_seconds = wait_seconds_;
  return stats;
}

std::string ReaderCore::description() const {
  const auto& files = files_.files;
  const auto direct = std::count_if(files.begin(), files.end(), [](const OpenFile& file) { return file.direct; });
  return how_ + (direct == std::ssize(files) ? ", direct" : direct == 0 ? ", buffered" : ", partly direct");
}

void ReaderCore::drain() {
  std::unique_lock lock(mutex_);
  scheduler_.cancel_all();
  while (scheduler_.in_flight() > 0) {
    block(lock, 0);
  }
}

}  // namespace hypura
