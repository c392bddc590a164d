#include "cli/inspect/words.h"

#include <gtest/gtest.h>

#include <limits>

namespace hypura {
namespace {

TEST(Words, NumbersKeepThreeDigits) {
  EXPECT_EQ(significant(1040.4), "1040");
  EXPECT_EQ(significant(99.96), "100");
  EXPECT_EQ(significant(10.44), "10.4");
  EXPECT_EQ(significant(7.554), "7.55");
  EXPECT_EQ(significant(0.9996), "1.00");
  EXPECT_EQ(significant(0.1044), "0.104");
  EXPECT_EQ(significant(0.01044), "0.0104");
  EXPECT_EQ(significant(-1), "0");
  EXPECT_EQ(significant(std::numeric_limits<double>::quiet_NaN()), "0");
}

TEST(Words, CountsHaveUnits) {
  EXPECT_EQ(count_words(8192), "8192");
  EXPECT_EQ(count_words(52'000'000), "52.0 M");
  EXPECT_EQ(count_words(32'100'000'000), "32.1 B");
  EXPECT_EQ(count_words(999'960'000'000), "1.00 T");
  EXPECT_EQ(count_words(1'031'600'000'000), "1.03 T");
}

TEST(Words, TimesAreReadable) {
  EXPECT_EQ(seconds_words(0.1334), "133 ms");
  EXPECT_EQ(seconds_words(0.0004), "0.400 ms");
  EXPECT_EQ(seconds_words(17), "17.0 s");
  EXPECT_EQ(seconds_words(140), "140 s");
  EXPECT_EQ(seconds_words(750), "12.5 min");
  EXPECT_EQ(seconds_words(3600 * 3.2), "3.20 h");
  EXPECT_EQ(seconds_words(0), "n/a");
  EXPECT_EQ(seconds_words(std::numeric_limits<double>::infinity()), "n/a");
  EXPECT_EQ(rate_words(7.554), "7.55 tok/s");
  EXPECT_EQ(rate_words(0), "n/a");
}

TEST(Words, PerCentsDoNotClaimNoneOrAll) {
  EXPECT_EQ(percent_words(0), "0 %");
  EXPECT_EQ(percent_words(0.0001), "<0.1 %");
  EXPECT_EQ(percent_words(0.004), "0.4 %");
  EXPECT_EQ(percent_words(0.371), "37 %");
  EXPECT_EQ(percent_words(0.996), "99.6 %");
  EXPECT_EQ(percent_words(0.99999), ">99.9 %");
  EXPECT_EQ(percent_words(1), "100 %");
}

TEST(Words, HtmlIsEscaped) {
  EXPECT_EQ(escape_html("<a href=\"x\" id='y'>&\n"), "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;?");
}

TEST(Words, LinesBreakAtSpaces) {
  EXPECT_EQ(wrap("one two three", 2, 10), "one two\n  three");
  EXPECT_EQ(wrap("one two", 2, 9), "one two");
  EXPECT_EQ(wrap("a-very-long-word b", 4, 10), "a-very-long-word\n    b");
  EXPECT_EQ(wrap("  two   spaces ", 0, 80), "two spaces");
  EXPECT_EQ(wrap("", 4, 10), "");
}

}  // namespace
}  // namespace hypura
