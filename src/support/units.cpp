#include "support/units.h"

#include <array>
#include <cstdlib>

#include "support/fail.h"

namespace hypura {

namespace {

// The factor of a unit suffix, or 0 when it is none.
double unit_factor(std::string_view suffix) {
  if (suffix.empty() || suffix == "b" || suffix == "B") {
    return 1;
  }
  const std::string_view rest = suffix.substr(1);
  if (!rest.empty() && rest != "b" && rest != "B" && rest != "iB" && rest != "ib") {
    return 0;
  }
  switch (suffix[0]) {
    case 'k':
    case 'K':
      return static_cast<double>(kKiB);
    case 'm':
    case 'M':
      return static_cast<double>(kMiB);
    case 'g':
    case 'G':
      return static_cast<double>(kGiB);
    case 't':
    case 'T':
      return 1024.0 * static_cast<double>(kGiB);
    default:
      return 0;
  }
}

}  // namespace

Result<uint64_t> parse_bytes(std::string_view text) {
  const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
  const std::string number(text.substr(0, digits));
  char* end = nullptr;
  const double value = std::strtod(number.c_str(), &end);
  const double factor = unit_factor(text.substr(digits));
  if (digits == 0 || end != number.c_str() + digits || factor == 0) {
    return fail(ErrorCode::kUsage, "'{}' is not a size; write it like 24M, 6G or 1.5G", text);
  }
  const double bytes = value * factor;
  if (bytes < 1 || bytes > 9e18) {
    return fail(ErrorCode::kUsage, "the size '{}' is out of range", text);
  }
  return static_cast<uint64_t>(bytes);
}

std::string format_bytes(uint64_t bytes) {
  static constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

}  // namespace hypura
