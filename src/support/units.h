// Sizes and rates as people write and read them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "hypura/result.h"

namespace hypura {

inline constexpr uint64_t kKiB = 1024;
inline constexpr uint64_t kMiB = 1024 * kKiB;
inline constexpr uint64_t kGiB = 1024 * kMiB;

// Bytes from "24M", "6G", "1.5g", "512k" or "1048576": binary units, case-insensitive, an optional "B" or "iB" after
// the unit. Fails with kUsage on anything else, on zero, on negatives and on overflow.
Result<uint64_t> parse_bytes(std::string_view text);

// "5.9 GiB", "24.0 MiB", "512 B": binary units, one decimal from KiB up.
std::string format_bytes(uint64_t bytes);

// Rounds up to a multiple of `step`; `step` > 0.
constexpr uint64_t round_up(uint64_t value, uint64_t step) {
  return (value + step - 1) / step * step;
}

// Rounds down to a multiple of `step`; `step` > 0.
constexpr uint64_t round_down(uint64_t value, uint64_t step) {
  return value / step * step;
}

}  // namespace hypura
