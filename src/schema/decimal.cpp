#include "schema/decimal.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

namespace hypura::schema {

namespace {

constexpr int kMostShift = 400;
constexpr size_t kMostStepDigits = 15;
constexpr uint64_t kMostScaled = 1'000'000'000'000'000;

int compare_magnitudes(const Decimal& a, const Decimal& b) {
  if (a.whole.size() != b.whole.size()) {
    return a.whole.size() < b.whole.size() ? -1 : 1;
  }
  const int whole = a.whole.compare(b.whole);
  return whole != 0 ? whole : a.fraction.compare(b.fraction);
}

std::optional<uint64_t> scaled(uint64_t units, size_t places) {
  for (size_t i = 0; i < places; ++i) {
    if (units > kMostScaled / 10) {
      return std::nullopt;
    }
    units *= 10;
  }
  return units;
}

}  // namespace

std::optional<Decimal> decimal(const nlohmann::ordered_json& number) {
  std::string text = number.dump();
  Decimal made;
  made.negative = text[0] == '-';
  text.erase(0, made.negative ? 1 : 0);
  int shift = 0;
  if (const size_t e = text.find_first_of("eE"); e != std::string::npos) {
    shift = std::atoi(text.c_str() + e + 1);
    text.resize(e);
  }
  if (std::abs(shift) > kMostShift) {
    return std::nullopt;
  }
  const size_t point = text.find('.');
  made.whole = text.substr(0, point);
  made.fraction = point == std::string::npos ? "" : text.substr(point + 1);
  for (; shift > 0; --shift) {
    made.whole += made.fraction.empty() ? '0' : made.fraction[0];
    made.fraction.erase(0, 1);
  }
  for (; shift < 0; ++shift) {
    made.fraction.insert(made.fraction.begin(), made.whole.empty() ? '0' : made.whole.back());
    made.whole.resize(made.whole.empty() ? 0 : made.whole.size() - 1);
  }
  made.whole.erase(0, std::min(made.whole.find_first_not_of('0'), made.whole.size()));
  made.fraction.resize(made.fraction.find_last_not_of('0') + 1);
  made.negative = made.negative && !made.is_zero();
  return made;
}

int compare(const Decimal& a, const Decimal& b) {
  if (a.negative != b.negative) {
    return a.negative ? -1 : 1;
  }
  return a.negative ? compare_magnitudes(b, a) : compare_magnitudes(a, b);
}

bool Step::divides(const Decimal& number) const {
  if (number.fraction.size() > places) {
    return false;
  }
  std::string digits = number.whole + number.fraction;
  digits.append(places - number.fraction.size(), '0');
  return std::accumulate(digits.begin(), digits.end(), uint64_t{0}, [this](uint64_t rest, char digit) {
           return (rest * 10 + static_cast<uint64_t>(digit - '0')) % units;
         }) == 0;
}

std::optional<Step> step(const Decimal& number) {
  const std::string digits = number.whole + number.fraction;
  if (number.negative || number.is_zero() || digits.size() > kMostStepDigits) {
    return std::nullopt;
  }
  return Step{std::strtoull(digits.c_str(), nullptr, 10), number.fraction.size()};
}

std::optional<Step> common_multiples(const Step& a, const Step& b) {
  const size_t places = std::max(a.places, b.places);
  const auto one = scaled(a.units, places - a.places);
  const auto other = scaled(b.units, places - b.places);
  if (!one || !other || *one / std::gcd(*one, *other) > kMostScaled / *other) {
    return std::nullopt;
  }
  return Step{std::lcm(*one, *other), places};
}

}  // namespace hypura::schema
