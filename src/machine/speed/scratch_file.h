// A file of our own bytes to measure a disk with, in a folder of the user's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>

#include "hypura/result.h"
#include "storage/reader.h"

namespace hypura {

// A file open for reading as weights are read.
struct ReadableFile {
  std::unique_ptr<Reader> reader;
  uint64_t bytes = 0;
};

struct ScratchLimits {
  uint64_t bytes = 1ULL << 30;         // the largest file
  uint64_t least_bytes = 64ULL << 20;  // a smaller one says nothing about the disk
  double seconds = 2;                  // writing stops after this once least_bytes are there
};

// How large a scratch file may be with `free` bytes on the disk: at most a quarter of them, in whole MiB. 0 when that
// is less than the least.
uint64_t scratch_size(const ScratchLimits& limits, uint64_t free);

// Writes random bytes (compression and deduplication gain nothing) past the page cache and sees them to the disk.
// The file loses its name before it is filled, so it is gone when the reader is, also when the program is killed.
// `progress` is called with a share of 0..1. Fails with kIo, naming the folder, when there is too little space or
// the file cannot be made.
Result<ReadableFile> make_scratch_file(const std::filesystem::path& folder, const ScratchLimits& limits,
                                       const std::function<void(double)>& progress);

// The system's own ways (scratch_file_linux.cpp, scratch_file_darwin.cpp): makes writes through `fd` leave nothing in
// the page cache, where the file system allows it; brings what was written to the disk, giving 0 or errno.
void bypass_page_cache(int fd);
int sync_data(int fd);

}  // namespace hypura
