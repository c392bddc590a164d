// What the disk gives: direct reads of a file by plain threads, independent of the engine's own reader.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "hypura/result.h"

namespace hypura {

// One way of reading: `threads` threads, each with one read of `block` bytes in flight.
struct ReadPattern {
  uint64_t block = 0;  // bytes, a multiple of 4096
  uint32_t threads = 1;
};

// Tried one after the other: the fastest depends on the disk.
std::vector<ReadPattern> usual_patterns();

struct ProbedSpeed {
  double bytes_per_second = 0;
  ReadPattern pattern;  // which gave it
};

// The best of `patterns`, each tried for `seconds` from one end of the file to the other and again; those whose block
// is larger than the file are left out. Fails with kIo when the file cannot be opened for direct reading or none is
// left.
Result<ProbedSpeed> probe_disk(const std::filesystem::path& file, const std::vector<ReadPattern>& patterns,
                               double seconds);

}  // namespace hypura
