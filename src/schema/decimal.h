// Numbers as a JSON text writes them, digit by digit.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace hypura::schema {

struct Decimal {
  bool negative = false;
  std::string whole;     // no zeros in front; empty: 0
  std::string fraction;  // no zeros at the end

  bool is_zero() const { return whole.empty() && fraction.empty(); }
  bool operator==(const Decimal&) const = default;
};

// None when `number` has more than some hundred digits when written without an exponent.
std::optional<Decimal> decimal(const nlohmann::ordered_json& number);

// Below 0 when a is less, 0 when they are equal.
int compare(const Decimal& a, const Decimal& b);

// The multiples of units / 10^places.
struct Step {
  uint64_t units = 1;
  size_t places = 0;

  bool divides(const Decimal& number) const;
};

// As a step, in lowest terms. None when it is not above 0, or has more digits than can be counted with.
std::optional<Step> step(const Decimal& number);

// What both divide.
std::optional<Step> common_multiples(const Step& a, const Step& b);

}  // namespace hypura::schema
