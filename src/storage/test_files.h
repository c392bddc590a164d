// For the tests of this room: files whose bytes tell where they belong, aligned memory.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "storage/reader.h"
#include "support/temp_dir_for_test.h"

namespace hypura {

// Eight bytes of file number `file`, the lowest first.
inline uint64_t pattern_word(uint32_t file, uint64_t word) {
  const uint64_t x = (word + 1) * 0x9E3779B97F4A7C15ULL + file * 0xD1B54A32D192ED03ULL;
  return x ^ x >> 29;
}

// The byte of file number `file` at `offset`.
inline std::byte pattern_byte(uint32_t file, uint64_t offset) {
  return static_cast<std::byte>(pattern_word(file, offset / 8) >> (offset % 8 * 8));
}

// Those from `offset` on, by words: sanitized tests, which are not optimised, would spend most of their time on bytes.
inline std::vector<char> pattern_bytes(uint32_t file, uint64_t offset, uint64_t length) {
  const uint64_t first = offset / 8;
  std::vector<uint64_t> words((offset + length + 7) / 8 - first);
  for (size_t i = 0; i < words.size(); ++i) {
    words[i] = pattern_word(file, first + i);
  }
  const char* start = reinterpret_cast<const char*>(words.data()) + offset % 8;
  return {start, start + length};
}

inline std::filesystem::path write_pattern(const TempDir& dir, uint32_t file, uint64_t size) {
  std::filesystem::path path = dir.path() / ("model-" + std::to_string(file) + ".gguf");
  const std::vector<char> bytes = pattern_bytes(file, 0, size);
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(size));
  return path;
}

// Whole blocks of memory, block aligned, filled with 0xEE.
class Memory {
 public:
  explicit Memory(uint64_t size)
      : size_((size + kDirectAlignment - 1) / kDirectAlignment * kDirectAlignment),
        bytes_(static_cast<std::byte*>(std::aligned_alloc(kDirectAlignment, size_)), &std::free) {
    std::fill_n(bytes_.get(), size_, std::byte{0xEE});
  }
  std::byte* data() const { return bytes_.get(); }
  uint64_t size() const { return size_; }
  std::span<std::byte> span() const { return {data(), size()}; }

 private:
  uint64_t size_;
  std::unique_ptr<std::byte, decltype(&std::free)> bytes_;
};

// One request with memory of its own, as the contract wants it.
struct Read {
  Read(uint32_t file, uint64_t offset, uint64_t length)
      : memory(length + 2 * kDirectAlignment),
        request{.file = file,
                .offset = offset,
                .length = length,
                .destination = memory.data() + offset % kDirectAlignment} {}

  void expect_pattern() const {
    const std::vector<char> expected = pattern_bytes(request.file, request.offset, request.length);
    if (std::memcmp(request.destination, expected.data(), request.length) == 0) {
      return;
    }
    for (uint64_t i = 0; i < request.length; ++i) {
      if (request.destination[i] != pattern_byte(request.file, request.offset + i)) {
        FAIL() << "wrong byte " << i << " of the read at " << request.offset << " of file " << request.file;
      }
    }
    FAIL() << "the pattern is not that of its bytes";
  }

  Memory memory;
  ReadRequest request;
};

// A way of reading, for tests of all of them.
struct ReaderKind {
  const char* name;
  bool force_threads;
  bool direct;
};

inline const auto kReaderKinds =
    testing::Values(ReaderKind{"uring_direct", false, true}, ReaderKind{"uring_buffered", false, false},
                    ReaderKind{"threads_direct", true, true}, ReaderKind{"threads_buffered", true, false});

}  // namespace hypura
