#include "bench/isolation/disk_probe.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <thread>

#include "storage/open.h"
#include "support/elapsed.h"
#include "support/fail.h"
#include "support/memory/huge_pages.h"
#include "support/units.h"

namespace hypura {

namespace {

using Clock = std::chrono::steady_clock;

// Buffers in huge pages: with small ones the kernel's page-by-page pinning held the same disk at 1.4 GB/s, not 2.4.
constexpr uint64_t kAlignment = kHugePage;

struct Freed {
  void operator()(void* memory) const { std::free(memory); }
};

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

void read_blocks(Trial& trial) {
  const uint64_t bytes = round_up(trial.block, kAlignment);
  const std::unique_ptr<void, Freed> buffer(std::aligned_alloc(kAlignment, bytes));
  advise_huge_pages(static_cast<std::byte*>(buffer.get()), bytes);
  while (Clock::now() < trial.end && trial.error == 0) {
    const uint64_t offset = trial.next++ % trial.blocks * trial.block;
    const ssize_t got = pread(trial.file, buffer.get(), trial.block, static_cast<off_t>(offset));
    if (got != static_cast<ssize_t>(trial.block)) {
      trial.error = got < 0 ? errno : EIO;
      return;
    }
    trial.bytes += trial.block;
  }
}

Result<double> try_pattern(int file, uint64_t size, const ReadPattern& pattern, double seconds) {
  Trial trial;
  trial.file = file;
  trial.block = pattern.block;
  trial.blocks = size / pattern.block;
  const auto start = Clock::now();
  trial.end = start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < pattern.threads; ++i) {
    threads.emplace_back([&trial] { read_blocks(trial); });
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
  ProbedSpeed best;
  for (const ReadPattern& pattern : patterns) {
    if (!fits(pattern)) {
      continue;
    }
    const auto speed = try_pattern(opened.get(), size, pattern, seconds);
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
