// Which bytes of a file are there. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace hypura {

struct ByteRange {
  uint64_t begin = 0;
  uint64_t end = 0;  // behind the last byte

  uint64_t size() const { return end - begin; }
  bool operator==(const ByteRange&) const = default;
};

// A set of bytes: ranges in order, none empty, none touching another. Not thread-safe.
class ByteRanges {
 public:
  void add(ByteRange range);
  void clear() { ranges_.clear(); }

  // The bytes from 0 on that are there without a gap.
  uint64_t front() const;
  uint64_t total() const;

  // The first bytes from `from` on that are missing, at most `most` of them, of a file of `size` bytes; nothing when
  // there are none.
  std::optional<ByteRange> missing(uint64_t from, uint64_t most, uint64_t size) const;

  const std::vector<ByteRange>& ranges() const { return ranges_; }

 private:
  std::vector<ByteRange> ranges_;
};

}  // namespace hypura
