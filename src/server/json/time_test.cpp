#include "server/json/time.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace hypura {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

TEST(Time, IsRfc3339InUtc) {
  const std::chrono::system_clock::time_point start(seconds(1'787'306'400));
  EXPECT_EQ(rfc3339(start), "2026-08-21T10:00:00Z");
  EXPECT_EQ(rfc3339(start + milliseconds(250)), "2026-08-21T10:00:00.25Z");
  EXPECT_EQ(rfc3339(start + std::chrono::microseconds(1)), "2026-08-21T10:00:00.000001Z");
  EXPECT_EQ(rfc3339(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(rfc3339(1'709'251'199), "2024-02-29T23:59:59Z");
  EXPECT_EQ(rfc3339(std::chrono::system_clock::time_point(milliseconds(-1))), "1969-12-31T23:59:59.999Z");
}

TEST(Time, NanosecondsAreWholeAndNeverNegative) {
  EXPECT_EQ(nanoseconds_of(1.5), 1'500'000'000);
  EXPECT_EQ(nanoseconds_of(0), 0);
  EXPECT_EQ(nanoseconds_of(-1), 0);
  EXPECT_EQ(nanoseconds_of(std::nan("")), 0);
  EXPECT_EQ(nanoseconds_of(1e300), std::numeric_limits<int64_t>::max());
}

TEST(Duration, ReadsGosNotation) {
  const std::vector<std::pair<std::string, Nanoseconds>> table = {
      {"5m", minutes(5)},
      {"1h30m", minutes(90)},
      {"1.5h", minutes(90)},
      {"-1s", seconds(-1)},
      {"+2s", seconds(2)},
      {"0", Nanoseconds(0)},
      {"-0", Nanoseconds(0)},
      {".5s", milliseconds(500)},
      {"10ms", milliseconds(10)},
      {"3us", std::chrono::microseconds(3)},
      {"3\u00B5s", std::chrono::microseconds(3)},
      {"7ns", Nanoseconds(7)},
      {"24h", hours(24)},
      {"1h1m1s1ms", hours(1) + minutes(1) + milliseconds(1001)},
  };
  for (const auto& [text, time] : table) {
    const Result<Nanoseconds> read = parse_duration(text);
    ASSERT_TRUE(read) << text;
    EXPECT_EQ(read->count(), time.count()) << text;
  }
}

TEST(Duration, TellsWhatIsWrong) {
  const std::vector<std::pair<std::string, std::string>> table = {
      {"abc", R"(time: invalid duration "abc")"},
      {"", R"(time: invalid duration "")"},
      {"-", R"(time: invalid duration "-")"},
      {".s", R"(time: invalid duration ".s")"},
      {"300", R"(time: missing unit in duration "300")"},
      {"5m3", R"(time: missing unit in duration "5m3")"},
      {"5x", R"(time: unknown unit "x" in duration "5x")"},
      {"5 m", R"(time: unknown unit " m" in duration "5 m")"},
      {"9999999999h", R"(time: invalid duration "9999999999h")"},
  };
  for (const auto& [text, message] : table) {
    const Result<Nanoseconds> read = parse_duration(text);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().code, ErrorCode::kUsage);
    EXPECT_EQ(read.error().message, message);
  }
}

TEST(KeepAlive, IsADurationOrSeconds) {
  const auto read = [](const char* text) {
    const Json json = parse_json(text).value();
    return read_keep_alive(&json);
  };
  EXPECT_FALSE(read_keep_alive(nullptr).value());
  EXPECT_FALSE(read("null").value());
  EXPECT_EQ(read("\"5m\"").value()->time, minutes(5));
  EXPECT_EQ(read("300").value()->time, minutes(5));
  EXPECT_EQ(read("0.5").value()->time, milliseconds(500));
  EXPECT_EQ(read("0").value()->time, Nanoseconds(0));
  EXPECT_EQ(read("\"0\"").value()->time, Nanoseconds(0));
  EXPECT_LT(read("-1").value()->time, Nanoseconds(0));
  EXPECT_LT(read("-0.1").value()->time, Nanoseconds(0));
  EXPECT_LT(read("\"-1m\"").value()->time, Nanoseconds(0));
  EXPECT_EQ(read("1e300").value()->time.count(), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(read("\"abc\"").error().message, "time: invalid duration \"abc\"");
  EXPECT_FALSE(read("true"));
  EXPECT_FALSE(read("{}"));
}

}  // namespace
}  // namespace hypura
