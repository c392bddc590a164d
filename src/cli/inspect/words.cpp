#include "cli/inspect/words.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <utility>

#include "support/printable.h"

namespace hypura {

namespace {

bool is_positive(double value) {
  return std::isfinite(value) && value > 0;
}

}  // namespace

std::string significant(double value) {
  if (!is_positive(value)) {
    return "0";
  }
  int decimals = 2;
  for (double limit = 9.995; decimals > 0 && value >= limit; limit *= 10) {
    --decimals;
  }
  for (double limit = 0.9995; value < limit && decimals < 6; limit /= 10) {
    ++decimals;
  }
  return fmt::format("{:.{}f}", value, decimals);
}

std::string count_words(int64_t count) {
  constexpr std::array<std::pair<double, const char*>, 3> kUnits = {{{1e12, "T"}, {1e9, "B"}, {1e6, "M"}}};
  const auto value = static_cast<double>(count);
  for (const auto& [unit, name] : kUnits) {
    if (value >= unit * 0.9995) {
      return fmt::format("{} {}", significant(value / unit), name);
    }
  }
  return fmt::format("{}", count);
}

std::string seconds_words(double seconds) {
  if (!is_positive(seconds)) {
    return "n/a";
  }
  if (seconds < 0.9995) {
    return significant(seconds * 1000) + " ms";
  }
  if (seconds < 599.5) {
    return significant(seconds) + " s";
  }
  return seconds < 7200 ? significant(seconds / 60) + " min" : significant(seconds / 3600) + " h";
}

std::string rate_words(double tokens_per_second) {
  return is_positive(tokens_per_second) ? significant(tokens_per_second) + " tok/s" : "n/a";
}

std::string percent_words(double share) {
  const double percent = share * 100;
  const bool would_lie = (percent > 0 && percent < 1) || (percent < 100 && percent >= 99.5);
  if (!would_lie) {
    return fmt::format("{:.0f} %", percent);
  }
  if (percent < 0.05) {
    return "<0.1 %";
  }
  return percent > 99.9 ? ">99.9 %" : fmt::format("{:.1f} %", percent);
}

std::string plural(uint64_t count, std::string_view thing) {
  return fmt::format("{} {}{}", count, thing, count == 1 ? "" : "s");
}

std::string escape_html(std::string_view text) {
  std::string escaped;
  for (const char letter : printable(text)) {
    switch (letter) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += letter;
    }
  }
  return escaped;
}

std::string wrap(std::string_view text, size_t indent, size_t width) {
  std::string lines;
  size_t column = indent;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (word.empty()) {
      continue;
    }
    if (column > indent && column + 1 + word.size() > width) {
      lines += "\n" + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      lines += ' ';
      ++column;
    }
    lines += word;
    column += word.size();
  }
  return lines;
}

}  // namespace hypura
