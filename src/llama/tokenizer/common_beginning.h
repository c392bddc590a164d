// What two runs of tokens begin with alike.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

namespace hypura {

// Number of tokens that `a` and `b` begin with alike. Any thread.
inline uint32_t common_beginning(std::span<const int32_t> a, std::span<const int32_t> b) {
  const auto ends = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return static_cast<uint32_t>(ends.first - a.begin());
}

}  // namespace hypura
