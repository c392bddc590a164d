#include "bench/isolation/disk_probe.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <span>
#include <thread>

#include "storage/open.h"
#include "support/elapsed.h"
#include "support/fail.h"
#include "support/memory/memory_region.h"
#include "support/units.h"

namespace hypura {

namespace {

using Clock = std::chrono::steady_clock;

// In huge pages: with small ones the kernel's page-by-page pinning held the same disk at 1.4 GB/s, not 2.4. More than
// caches hold, as weights are (docs/lab/experiments.md, "The disk into memory").
constexpr uint64_t kMemory = 256 * kMiB;

// Shared by the threads of one trial.
struct Trial {
  int file = -1;
  uint64_t block = 0;
  uint64_t blocks = 0;  // whole ones in the file
  Clock::time_point end;
  std::atomic<uint64_t> next{0};
  std::atomic<uint64_t> bytes{0};
  std::atomic<int> error{0};
};

// Into all of `memory` in turn.
void read_blocks(Trial& trial, std::span<std::byte> memory) {
  for (uint64_t place = 0; Clock::now() < trial.end && trial.error == 0; place += trial.block) {
    place = place + trial.block <= memory.size() ? place : 0;
    const uint64_t offset = trial.next++ % trial.blocks * trial.block;
    const ssize_t got = pread(trial.file, memory.data() + place, trial.block, static_cast<off_t>(offset));
    if (got != static_cast<ssize_t>(trial.block)) {
      trial.error = got < 0 ? errno : EIO;
      return;
    }
    trial.bytes += trial.block;
  }
}

Result<double> try_pattern(int file, uint64_t size, std::span<std::byte> memory, const ReadPattern& pattern,
                           double seconds) {
  Trial trial;
  trial.file = file;
  trial.block = pattern.block;
  trial.blocks = size / pattern.block;
  const auto start = Clock::now();
  trial.end = start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  std::vector<std::thread> threads;
  const uint64_t share = round_down(memory.size() / pattern.threads, trial.block);
  for (uint32_t i = 0; i < pattern.threads; ++i) {
    threads.emplace_back([&trial, its = memory.subspan(i * share, share)] { read_blocks(trial, its); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  if (trial.error != 0) {
    return fail(ErrorCode::kIo, "a direct read of {} failed ({})", format_bytes(pattern.block),
                errno_text(trial.error));
  }
  return static_cast<double>(trial.bytes) / seconds_since(start);
}

}  // namespace

std::vector<ReadPattern> usual_patterns() {
  return {{4 * kMiB, 2}, {kMiB, 8}, {kMiB, 32}, {256 * kKiB, 32}};
}

Result<ProbedSpeed> probe_disk(const std::filesystem::path& file, const std::vector<ReadPattern>& patterns,
                               double seconds) {
  const FileDescriptor opened(open_direct(file.c_str()));
  struct stat status {};
  if (opened.get() < 0 || fstat(opened.get(), &status) != 0) {
    return fail(ErrorCode::kIo, "{} cannot be opened for direct reading ({})", file.string(), errno_text(errno));
  }
  const auto size = static_cast<uint64_t>(status.st_size);
  const auto fits = [size](const ReadPattern& pattern) { return pattern.block <= size; };
  if (std::none_of(patterns.begin(), patterns.end(), fits)) {
    return fail(ErrorCode::kIo, "{} is too short to probe the disk with", file.string());
  }
  // Each thread has room for one block at least.
  uint64_t bytes = kMemory;
  for (const ReadPattern& pattern : patterns) {
    bytes = std::max(bytes, pattern.block * pattern.threads);
  }
  auto memory = MemoryRegion::allocate(bytes);
  if (!memory) {
    return propagate(memory.error(), "memory to probe the disk with");
  }
  std::ranges::fill(memory->span(), std::byte{1});  // what was never touched takes its time from the first trial
  ProbedSpeed best;
  for (const ReadPattern& pattern : patterns) {
    if (!fits(pattern)) {
      continue;
    }
    const auto speed = try_pattern(opened.get(), size, memory->span(), pattern, seconds);
    if (!speed) {
      return propagate(speed.error(), file.string());
    }
    if (*speed > best.bytes_per_second) {
      best = {*speed, pattern};
    }
  }
  return best;
}

}  // namespace hypura
