#include "server/json/time.h"

#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "support/fail.h"

namespace hypura {

namespace {

constexpr int64_t kSecond = 1'000'000'000;
// A little less than what 64 bits of nanoseconds hold, about 292 years: double cannot tell the last of them.
constexpr double kLongest = 9.22e18;

std::string rfc3339(int64_t seconds, int64_t nanoseconds) {
  const std::chrono::sys_seconds time{std::chrono::seconds(seconds)};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  std::string text = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                                 static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                                 clock.hours().count(), clock.minutes().count(), clock.seconds().count());
  if (nanoseconds > 0) {
    text += fmt::format(".{:09}", nanoseconds);
    text.erase(text.find_last_not_of('0') + 1);
  }
  return text + "Z";
}

// Nanoseconds of a unit; 0 for an unknown one.
double unit_length(std::string_view unit) {
  constexpr std::array<std::pair<std::string_view, double>, 8> kUnits{{{"ns", 1},
                                                                       {"us", 1e3},
                                                                       {"\u00B5s", 1e3},
                                                                       {"\u03BCs", 1e3},
                                                                       {"ms", 1e6},
                                                                       {"s", 1e9},
                                                                       {"m", 60e9},
                                                                       {"h", 3600e9}}};
  for (const auto& [name, length] : kUnits) {
    if (name == unit) {
      return length;
    }
  }
  return 0;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Takes "12", "12.5" or ".5" off the front of `rest`; none when there is no digit.
std::optional<double> take_number(std::string_view& rest) {
  double number = 0;
  double scale = 1;
  bool point = false;
  bool digits = false;
  size_t at = 0;
  for (; at < rest.size(); ++at) {
    const char c = rest[at];
    if (c == '.' && !point) {
      point = true;
    } else if (is_digit(c)) {
      digits = true;
      number = number * 10 + (c - '0');
      scale *= point ? 10 : 1;
    } else {
      break;
    }
  }
  rest.remove_prefix(at);
  return digits ? std::optional(number / scale) : std::nullopt;
}

// Takes the letters before the next number off the front of `rest`.
std::string_view take_unit(std::string_view& rest) {
  size_t at = 0;
  while (at < rest.size() && rest[at] != '.' && !is_digit(rest[at])) {
    ++at;
  }
  const std::string_view unit = rest.substr(0, at);
  rest.remove_prefix(at);
  return unit;
}

}  // namespace

std::string rfc3339(std::chrono::system_clock::time_point time) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(time);
  const auto fraction = std::chrono::duration_cast<std::chrono::nanoseconds>(time - whole);
  return rfc3339(whole.time_since_epoch().count(), fraction.count());
}

std::string rfc3339(int64_t seconds) {
  return rfc3339(seconds, 0);
}

int64_t nanoseconds_of(double seconds) {
  const double nanoseconds = seconds * static_cast<double>(kSecond);
  if (!(nanoseconds > 0)) {
    return 0;
  }
  return nanoseconds >= kLongest ? std::numeric_limits<int64_t>::max() : static_cast<int64_t>(nanoseconds);
}

Result<Nanoseconds> parse_duration(std::string_view text) {
  std::string_view rest = text;
  bool negative = false;
  if (!rest.empty() && (rest.front() == '-' || rest.front() == '+')) {
    negative = rest.front() == '-';
    rest.remove_prefix(1);
  }
  if (rest == "0") {
    return Nanoseconds(0);
  }
  double total = 0;
  do {
    const std::optional<double> number = take_number(rest);
    if (!number) {
      return fail(ErrorCode::kUsage, "time: invalid duration \"{}\"", text);
    }
    const std::string_view unit = take_unit(rest);
    if (unit.empty()) {
      return fail(ErrorCode::kUsage, "time: missing unit in duration \"{}\"", text);
    }
    const double length = unit_length(unit);
    if (length == 0) {
      return fail(ErrorCode::kUsage, "time: unknown unit \"{}\" in duration \"{}\"", unit, text);
    }
    total += *number * length;
  } while (!rest.empty());
  if (!(total < kLongest)) {
    return fail(ErrorCode::kUsage, "time: invalid duration \"{}\"", text);
  }
  const int64_t nanoseconds = std::llround(total);
  return Nanoseconds(negative ? -nanoseconds : nanoseconds);
}

Result<std::optional<KeepAlive>> read_keep_alive(const Json* value) {
  if (value == nullptr || value->is_null()) {
    return std::optional<KeepAlive>();
  }
  if (value->is_number()) {
    const auto seconds = value->get<double>();
    return std::optional(KeepAlive{Nanoseconds(seconds < 0 ? -1 : nanoseconds_of(seconds))});
  }
  if (!value->is_string()) {
    return fail(ErrorCode::kUsage, "keep_alive must be a number of seconds or a duration like \"5m\", not {}",
                dump_json(*value));
  }
  const Result<Nanoseconds> time = parse_duration(value->get<std::string>());
  if (!time) {
    return propagate(time.error());
  }
  return std::optional(KeepAlive{*time});
}

}  // namespace hypura
