#include "cli/options/number_option.h"

#include <fmt/format.h>

#include <cstdlib>
#include <utility>

namespace hypura {

std::optional<double> parse_number(const std::string& text, const NumberRange& range) {
  const char* allowed = range.whole ? "+-0123456789" : "+-0123456789.eE";
  if (text.empty() || text.find_first_not_of(allowed) != std::string::npos) {
    return std::nullopt;
  }
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  // The negated comparison also refuses what is not a number.
  if (*end != '\0' || !(number >= range.lowest && number <= range.highest)) {
    return std::nullopt;
  }
  return number;
}

CLI::Option* add_number(CLI::App& command, const std::string& flags, const std::string& description,
                        const NumberRange& range, std::function<void(double)> set) {
  const auto complaint = [range](const std::string& text) {
    return parse_number(text, range) ? std::string() : fmt::format("'{}' is not {}", text, range.wording);
  };
  const auto store = [range, set = std::move(set)](const std::string& text) {
    if (const auto number = parse_number(text, range)) {
      set(*number);
    }
  };
  return command.add_option_function<std::string>(flags, store, description)->check(complaint)->option_text("N");
}

}  // namespace hypura
