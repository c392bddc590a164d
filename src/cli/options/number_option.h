// Numeric flags with a range: refused by name, with the range in words, before any conversion can wrap or truncate.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>

namespace hypura {

// Which numbers a flag takes, ends included. All of them fit a double exactly.
struct NumberRange {
  double lowest = 0;
  double highest = 0;
  bool whole = false;
  std::string wording;  // "a whole number of 1 or more"
};

// The number `text` writes when it is in `range`, else nothing. Whole numbers are decimal digits only.
std::optional<double> parse_number(const std::string& text, const NumberRange& range);

// Adds the flag to `command`; `set` is called with the number when the flag was given and is in range.
CLI::Option* add_number(CLI::App& command, const std::string& flags, const std::string& description,
                        const NumberRange& range, std::function<void(double)> set);

}  // namespace hypura
