#include "output/answer_utf8.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

TEST(ValidUtf8, KeepsWhatIsValid) {
  const std::string text = "a\u00e9\u20ac\U0001F600\U0010FFFF";
  EXPECT_EQ(valid_utf8(text), text);
  EXPECT_EQ(valid_utf8(""), "");
}

TEST(ValidUtf8, ReplacesWhatIsNot) {
  EXPECT_EQ(valid_utf8("a\xFFz"), "a\uFFFDz");
  EXPECT_EQ(valid_utf8("\x80"), "\uFFFD");
  EXPECT_EQ(valid_utf8("\xE2\x82"), "\uFFFD\uFFFD");                        // cut short
  EXPECT_EQ(valid_utf8("\xC0\xAF"), "\uFFFD\uFFFD");                        // overlong
  EXPECT_EQ(valid_utf8("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");              // a surrogate
  EXPECT_EQ(valid_utf8("\xF4\x90\x80\x80z"), "\uFFFD\uFFFD\uFFFD\uFFFDz");  // above U+10FFFF
}

}  // namespace
}  // namespace hypura
