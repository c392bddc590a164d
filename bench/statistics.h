// Few numbers, told honestly: the median and the range.
#pragma once

#include <optional>
#include <vector>

namespace hypura::bench {

struct Spread {
  double median = 0;
  double low = 0;
  double high = 0;
};

// None for no values. The median of an even count is the mean of the two in the middle.
std::optional<Spread> spread_of(std::vector<double> values);

}  // namespace hypura::bench
