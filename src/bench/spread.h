// Few numbers, told honestly: the median and the range.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace hypura {

struct Spread {
  double median = 0;
  double low = 0;
  double high = 0;
};

// None for no values. The median of an even count is the mean of the two in the middle.
std::optional<Spread> spread_of(std::vector<double> values);

// Three digits, or all before the point: "0.56", "35.2", "1234". A spread as "median (low..high)".
std::string to_text(double value);
std::string to_text(const Spread& spread);

}  // namespace hypura
