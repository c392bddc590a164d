#include "storage/reader_core.h"

#include <chrono>
#include <utility>

#include "support/elapsed.h"

namespace hypura {

namespace {

std::vector<std::filesystem::path> paths_of(const OpenFiles& files) {
  std::vector<std::filesystem::path> paths;
  for (const OpenFile& file : files.files) {
    paths.push_back(file.path);
  }
  return paths;
}

}  // namespace

ReaderCore::ReaderCore(OpenFiles files, const ReaderOptions& options, std::string how)
    : scheduler_(paths_of(files), options, files.direct), files_(std::move(files)), how_(std::move(how)) {}

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

Status ReaderCore::wait(ReadGroup group) {
  const auto start = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  scheduler_.promote(group);
  advance();
  // Looked up anew after each block: another thread may have waited for the same group, against the rules.
  while (scheduler_.knows(group) && !scheduler_.ended(group)) {
    block(lock);
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
  return how_ + (files_.direct ? ", direct" : ", buffered");
}

void ReaderCore::drain() {
  std::unique_lock lock(mutex_);
  scheduler_.cancel_all();
  while (scheduler_.in_flight() > 0) {
    block(lock);
  }
}

}  // namespace hypura
