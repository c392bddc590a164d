#include "bench/spread.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

namespace hypura {

std::optional<Spread> spread_of(std::vector<double> values) {
  if (values.empty()) {
    return std::nullopt;
  }
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return Spread{median, values.front(), values.back()};
}

std::string to_text(double value) {
  return fmt::format("{:.{}f}", value, value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2);
}

std::string to_text(const Spread& spread) {
  return fmt::format("{} ({}..{})", to_text(spread.median), to_text(spread.low), to_text(spread.high));
}

}  // namespace hypura
