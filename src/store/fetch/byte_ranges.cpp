#include "store/fetch/byte_ranges.h"

#include <algorithm>

namespace hypura {

void ByteRanges::add(ByteRange range) {
  if (range.begin >= range.end) {
    return;
  }
  const auto first =
      std::find_if(ranges_.begin(), ranges_.end(), [&](const ByteRange& other) { return other.end >= range.begin; });
  auto last = first;
  for (; last != ranges_.end() && last->begin <= range.end; ++last) {
    range.begin = std::min(range.begin, last->begin);
    range.end = std::max(range.end, last->end);
  }
  ranges_.insert(ranges_.erase(first, last), range);
}

uint64_t ByteRanges::front() const {
  return ranges_.empty() || ranges_.front().begin > 0 ? 0 : ranges_.front().end;
}

uint64_t ByteRanges::total() const {
  uint64_t sum = 0;
  for (const ByteRange& range : ranges_) {
    sum += range.size();
  }
  return sum;
}

std::optional<ByteRange> ByteRanges::missing(uint64_t from, uint64_t most, uint64_t size) const {
  uint64_t end = size;
  for (const ByteRange& range : ranges_) {
    if (range.end <= from) {
      continue;
    }
    if (range.begin > from) {
      end = std::min(end, range.begin);
      break;
    }
    from = range.end;
  }
  if (from >= end) {
    return std::nullopt;
  }
  return ByteRange{from, from + std::min(most, end - from)};
}

}  // namespace hypura
