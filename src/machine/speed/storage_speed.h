// How fast a file can be read by the engine's own reader, by size of the reads and how many are under way.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "hypura/profile.h"
#include "hypura/result.h"
#include "machine/speed/scratch_file.h"

namespace hypura {

struct StorageTest {
  double point_seconds = 0.05;  // of one visit to a point; each has two, with others between, and the better counts
  double most_seconds = 6;      // after this no second visits are begun
  std::function<void(double)> progress = {};  // called with a share of 0..1
};

// What is measured on a file of that size: blocks of 64 KiB to 16 MiB, 1 to 32 at a time, scattered; and a few of
// them in sequence. Blocks that do not fit the file are left out, and depths at which they do not fit together.
// bytes_per_second is 0.
std::vector<StoragePoint> storage_points(uint64_t file_bytes);

// Of the scattered points that reach 95 % of the best one's rate, the one with the fewest bytes under way; of several,
// the one with the smallest blocks. Reads larger or deeper than that gain next to nothing. All 0 when there is none.
StoragePoint find_knee(std::span<const StoragePoint> points);

// A file that is read to see how fast that goes, into memory of its own, registered with the reader as the engine's
// slots are. As much as caches do not hold: where processors copy what a virtual disk reads, 8 MiB that are read into
// again and again take 3.5 GB/s, slots and a ring 2.4 (docs/lab/experiments.md, "The disk into memory"). One thread at
// a time.
class StorageSpeed {
 public:
  // Enough memory to read into, bytes.
  static constexpr uint64_t kMemory = 256ULL << 20;

  // Takes `memory` bytes at most, and no more than the file has or kMemory. Fails with kBudget when they cannot be had.
  static Result<std::unique_ptr<StorageSpeed>> open(ReadableFile file, uint64_t memory);

  virtual ~StorageSpeed() = default;

  // Measures all of storage_points(), as far as they fit the memory; `path` and `file_system` of the result are left
  // empty. Fails with kIo as Reader::wait() does.
  virtual Result<StorageProfile> measure(const StorageTest& test) = 0;

  // Keeps the reads of `point`, one of storage_points(), under way until `stop`, and gives the bytes a second. Fails
  // as measure().
  virtual Result<double> read_until(const StoragePoint& point, const std::atomic<bool>& stop) = 0;
};

}  // namespace hypura
