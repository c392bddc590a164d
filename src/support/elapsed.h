// Time that has passed.
#pragma once

#include <algorithm>
#include <chrono>

namespace hypura {

// Seconds, with their fraction.
inline double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// `amount` by the seconds that it took: a number also where a clock saw none pass.
inline double per_second(double amount, double seconds) {
  constexpr double kLeast = 1e-9;
  return amount / std::max(seconds, kLeast);
}

}  // namespace hypura
