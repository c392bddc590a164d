#include "support/printable.h"

#include <gtest/gtest.h>

#include "support/utf8.h"

namespace hypura {
namespace {

TEST(Printable, TextMovesNoCursor) {
  EXPECT_EQ(printable("a\x1b[2Jb\n\x7f\r\t"), "a?[2Jb????");
  EXPECT_EQ(printable("a\xc2\x9b"
                      "2J"),
            "a?2J");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a?b");
  EXPECT_EQ(printable("Größe, 模型, 👋🏽"), "Größe, 模型, 👋🏽");
}

TEST(Printable, TextTurnsNoDirectionAndHidesNothing) {
  EXPECT_EQ(printable("a\u202egnp.exe"), "a?gnp.exe");
  EXPECT_EQ(printable("\u2066a\u2069\u200b\ufeff\u061c\u2028"), "?a?????");
  EXPECT_EQ(printable("\U000E0041"), "?");
}

TEST(Printable, BytesThatAreNoCharacterShow) {
  EXPECT_EQ(printable("\xff\xfe|\xc3|\xed\xa0\x80|\xe6\xa8"), "??|?|???|??");
}

TEST(Printable, LinesMayStay) {
  EXPECT_EQ(printable_lines("a\n  b\x1b\n"), "a\n  b?\n");
}

TEST(Utf8, LengthOfTheFirstCharacter) {
  EXPECT_EQ(utf8_length(""), 0U);
  EXPECT_EQ(utf8_length("ab"), 1U);
  EXPECT_EQ(utf8_length("\u00e9"), 2U);
  EXPECT_EQ(utf8_length("\xc3"), 0U);
  EXPECT_EQ(utf8_length("\xc0\x80"), 0U);
  EXPECT_EQ(utf8_length("\xf4\x90\x80\x80"), 0U);
}

}  // namespace
}  // namespace hypura
