#include "placement/popularity.h"

#include <algorithm>
#include <cmath>

namespace hypura {

namespace {

// Increments of the smallest concave function above `curve`, whose first value is taken as 0.
std::vector<double> concave_increments(std::span<const double> curve) {
  std::vector<size_t> hull = {0};
  const auto value = [&](size_t i) { return i == 0 ? 0.0 : curve[i]; };
  const auto slope = [&](size_t a, size_t b) { return (value(b) - value(a)) / static_cast<double>(b - a); };
  for (size_t i = 1; i < curve.size(); ++i) {
    while (hull.size() > 1 && slope(hull.back(), i) >= slope(hull[hull.size() - 2], hull.back())) {
      hull.pop_back();
    }
    hull.push_back(i);
  }
  std::vector<double> increments;
  for (size_t k = 1; k < hull.size(); ++k) {
    const double each = std::max(0.0, slope(hull[k - 1], hull[k]));
    increments.insert(increments.end(), hull[k] - hull[k - 1], each);
  }
  return increments;
}

// Scales to a sum of `used`; no expert is used more than once a token, so what is above 1 goes to the next ranks.
std::vector<double> scaled(std::vector<double> increments, uint32_t used) {
  double sum = 0;
  for (double it : increments) {
    sum += it;
  }
  const auto count = static_cast<double>(increments.size());
  double above = 0;
  for (double& it : increments) {
    it = (sum > 0 ? it * used / sum : used / count) + above;
    above = std::max(0.0, it - 1);
    it -= above;
  }
  return increments;
}

}  // namespace

std::vector<double> prior_popularity(uint32_t experts, uint32_t used) {
  std::vector<double> curve(experts + 1);
  for (uint32_t q = 0; q <= experts; ++q) {
    curve[q] = std::pow(static_cast<double>(q) / experts, kPriorExponent);
  }
  return popularity_from_hits(curve, used);
}

std::vector<double> popularity_from_hits(std::span<const double> hits, uint32_t used) {
  return scaled(concave_increments(hits), used);
}

double expected_experts(std::span<const double> popularity, uint32_t first, uint32_t tokens) {
  double sum = 0;
  for (size_t rank = first; rank < popularity.size(); ++rank) {
    sum += 1 - std::pow(1 - std::min(1.0, popularity[rank]), tokens);
  }
  return sum;
}

}  // namespace hypura
