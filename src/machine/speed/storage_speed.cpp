#include "machine/speed/storage_speed.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <random>
#include <utility>

#include "support/elapsed.h"
#include "support/fail.h"
#include "support/memory/memory_region.h"
#include "support/units.h"

namespace hypura {

namespace {

using Clock = std::chrono::steady_clock;

// The reader issues no more at once, so deeper points would only measure it again.
constexpr uint64_t kMostUnderWay = ReaderOptions{}.depth * ReaderOptions{}.chunk_bytes;
constexpr double kKneeShare = 0.95;

// Where the next read comes from, and goes to: what is short begins where the last one left off, or it would have the
// same few blocks of memory again, which caches hold. So do sequential reads in the file.
class Places {
 public:
  Places(uint64_t file_bytes, std::span<std::byte> memory) : file_bytes_(file_bytes), memory_(memory) {}

  // All of the memory in turn, in blocks of that size: reads under way share none if so many blocks are in it.
  std::byte* destination(uint64_t block_bytes) {
    const uint64_t place = round_up(next_destination_, block_bytes);
    next_destination_ = (place + block_bytes <= memory_.size() ? place : 0) + block_bytes;
    return memory_.data() + next_destination_ - block_bytes;
  }

  uint64_t next(const StoragePoint& point) {
    const uint64_t last = round_down(file_bytes_ - point.block_bytes, kDirectAlignment);
    if (point.scattered) {
      return std::uniform_int_distribution<uint64_t>(0, last / kDirectAlignment)(random_) * kDirectAlignment;
    }
    const uint64_t place = next_ <= last ? next_ : 0;
    next_ = place + point.block_bytes;
    return place;
  }

 private:
  uint64_t file_bytes_;
  std::span<std::byte> memory_;
  uint64_t next_destination_ = 0;  // in memory_
  uint64_t next_ = 0;
  std::mt19937_64 random_{1};  // the same places every time
};

// What issuing reads took of the thread that did.
struct Issuing {
  double seconds = 0;
  uint64_t reads = 0;
};

// Keeps the reads of one point under way. Waits for all of them at the end, because they write to borrowed memory.
class Window {
 public:
  Window(Reader& reader, const StoragePoint& point, Places& places, Issuing& issuing)
      : reader_(reader), point_(point), places_(places), issuing_(issuing), groups_(point.depth) {
    for (uint32_t slot = 0; slot < point.depth; ++slot) {
      submit(slot);
    }
  }
  ~Window() { static_cast<void>(finish()); }
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;

  // Waits for the oldest read and puts a new one in its place.
  Status turn() {
    Status status = take(oldest_);
    if (status) {
      submit(oldest_);
      oldest_ = (oldest_ + 1) % point_.depth;
    }
    return status;
  }

  // Waits for all; the first error.
  Status finish() {
    Status first;
    for (uint32_t slot = 0; slot < point_.depth; ++slot) {
      if (groups_[slot] == 0) {
        continue;
      }
      Status status = take(slot);
      if (first) {
        first = std::move(status);
      }
    }
    return first;
  }

  uint64_t bytes() const { return bytes_; }

 private:
  void submit(uint32_t slot) {
    const ReadRequest request = {.file = 0,
                                 .offset = places_.next(point_),
                                 .length = point_.block_bytes,
                                 .destination = places_.destination(point_.block_bytes)};
    const auto start = Clock::now();
    groups_[slot] = reader_.submit({&request, 1}, Priority::kDemand);
    if (point_.block_bytes <= ReaderOptions{}.chunk_bytes) {  // larger ones are several reads
      issuing_.seconds += seconds_since(start);
      ++issuing_.reads;
    }
  }
  Status take(uint32_t slot) {
    Status status = reader_.wait(std::exchange(groups_[slot], 0));
    bytes_ += status ? point_.block_bytes : 0;
    return status;
  }

  Reader& reader_;
  const StoragePoint& point_;
  Places& places_;
  Issuing& issuing_;
  std::vector<ReadGroup> groups_;  // 0: none
  uint32_t oldest_ = 0;
  uint64_t bytes_ = 0;
};

// Bytes a second.
template <class Ended>
Result<double> visit(Reader& reader, const StoragePoint& point, Places& places, Issuing& issuing, Ended ended) {
  const auto start = Clock::now();
  Window window(reader, point, places, issuing);
  while (!ended(start)) {
    if (Status status = window.turn(); !status) {
      return propagate(status.error());
    }
  }
  if (Status status = window.finish(); !status) {
    return propagate(status.error());
  }
  return per_second(static_cast<double>(window.bytes()), seconds_since(start));
}

void name_the_best(StorageProfile& profile) {
  for (const StoragePoint& point : profile.points) {
    double& best = point.scattered ? profile.scattered_bytes_per_second : profile.sequential_bytes_per_second;
    best = std::max(best, point.bytes_per_second);
  }
  profile.knee = find_knee(profile.points);
}

class OpenStorage final : public StorageSpeed {
 public:
  OpenStorage(ReadableFile file, MemoryRegion memory)
      : memory_(std::move(memory)),
        bytes_(file.bytes),
        places_(file.bytes, memory_.span()),
        reader_(std::move(file.reader)) {
    reader_->register_memory(memory_.span());
  }

  Result<StorageProfile> measure(const StorageTest& test) override;
  Result<double> read_until(const StoragePoint& point, const std::atomic<bool>& stop) override {
    return visit(*reader_, point, places_, issuing_, [&](Clock::time_point) { return stop.load(); });
  }

 private:
  Result<double> visit_for(const StoragePoint& point, double seconds) {
    return visit(*reader_, point, places_, issuing_,
                 [seconds](Clock::time_point start) { return seconds_since(start) >= seconds; });
  }

  MemoryRegion memory_;
  uint64_t bytes_;
  Places places_;
  Issuing issuing_;
  std::unique_ptr<Reader> reader_;  // ends before the memory that it is told of
};

Result<StorageProfile> OpenStorage::measure(const StorageTest& test) {
  StorageProfile profile;
  profile.method = reader_->description();
  profile.points = storage_points(std::min(bytes_, memory_.size()));
  if (!profile.points.empty()) {
    // The first read into registered memory has to pin it.
    if (const auto first = visit_for(profile.points.front(), 0); !first) {
      return propagate(first.error());
    }
  }
  const auto start = Clock::now();
  const size_t points = profile.points.size();
  const size_t visits = 2 * points;
  // There and back, and of the two visits the better: another's reads and writes only slow a disk down.
  for (size_t i = 0; i < visits && (i < points || seconds_since(start) < test.most_seconds); ++i) {
    StoragePoint& point = profile.points[i < points ? i : visits - 1 - i];
    const auto rate = visit_for(point, test.point_seconds);
    if (!rate) {
      return propagate(rate.error());
    }
    point.bytes_per_second = std::max(point.bytes_per_second, *rate);
    if (test.progress) {
      test.progress(static_cast<double>(i + 1) / static_cast<double>(visits));
    }
  }
  name_the_best(profile);
  profile.read_seconds = issuing_.reads > 0 ? issuing_.seconds / static_cast<double>(issuing_.reads) : 0;
  return profile;
}

}  // namespace

std::vector<StoragePoint> storage_points(uint64_t file_bytes) {
  std::vector<StoragePoint> points;
  const auto add = [&](uint64_t block, uint32_t depth, bool scattered) {
    if (block * depth <= std::min(kMostUnderWay, file_bytes)) {
      points.push_back({block, depth, scattered, 0});
    }
  };
  for (const uint64_t block : {64 * kKiB, 256 * kKiB, kMiB, 4 * kMiB, 16 * kMiB}) {
    for (const uint32_t depth : {1U, 2U, 4U, 8U, 16U, 32U}) {
      add(block, depth, true);
    }
  }
  constexpr std::array kInSequence = {std::pair{64 * kKiB, 1U}, std::pair{64 * kKiB, 32U}, std::pair{kMiB, 1U},
                                      std::pair{kMiB, 8U},      std::pair{kMiB, 32U},      std::pair{4 * kMiB, 8U},
                                      std::pair{16 * kMiB, 4U}};
  for (const auto& [block, depth] : kInSequence) {
    add(block, depth, false);
  }
  return points;
}

StoragePoint find_knee(std::span<const StoragePoint> points) {
  double best = 0;
  for (const StoragePoint& point : points) {
    best = point.scattered ? std::max(best, point.bytes_per_second) : best;
  }
  const auto cost = [](const StoragePoint& point) {
    return std::pair(point.block_bytes * point.depth, point.block_bytes);
  };
  StoragePoint knee;
  for (const StoragePoint& point : points) {
    const bool good = point.scattered && point.bytes_per_second > 0 && point.bytes_per_second >= kKneeShare * best;
    if (good && (knee.depth == 0 || cost(point) < cost(knee))) {
      knee = point;
    }
  }
  return knee;
}

Result<std::unique_ptr<StorageSpeed>> StorageSpeed::open(ReadableFile file, uint64_t memory_bytes) {
  auto memory = MemoryRegion::allocate(std::max(kMiB, std::min({file.bytes, memory_bytes, kMemory})));
  if (!memory) {
    return propagate(memory.error(), "memory to read into");
  }
  std::ranges::fill(memory->span(), std::byte{1});  // memory that was never touched would take its time from the reads
  return std::make_unique<OpenStorage>(std::move(file), std::move(*memory));
}

}  // namespace hypura
