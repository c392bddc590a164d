#include "output/text_stream.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

TEST(TextStream, HoldsBackWhatIsIncomplete) {
  TextStream stream;
  EXPECT_EQ(stream.add("a\xC3"), "a");
  EXPECT_EQ(stream.add("\xA9"), "\xC3\xA9");
  EXPECT_EQ(stream.add("\xF0\x9F"), "");
  EXPECT_EQ(stream.add("\x90"), "");
  EXPECT_EQ(stream.add("\xB0!"), "\xF0\x9F\x90\xB0!");
  EXPECT_EQ(stream.finish(), "");
}

TEST(TextStream, PassesOnWhatNeverBecomesACharacter) {
  TextStream stream;
  EXPECT_EQ(stream.add("\x80\xFFx"), "\x80\xFFx");
  EXPECT_EQ(stream.add("\xE2\x82"), "");
  EXPECT_EQ(stream.add("z"), "\xE2\x82z");
  EXPECT_EQ(stream.add("\xE2"), "");
  EXPECT_EQ(stream.finish(), "\xE2");
}

TEST(TextStream, EverySplitGivesTheSameText) {
  const std::string text = "na\xC3\xAFve \xE6\xBC\xA2\xE5\xAD\x97 \xF0\x9F\x90\xB0";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    TextStream stream;
    std::string out = stream.add(text.substr(0, cut));
    out += stream.add(text.substr(cut));
    EXPECT_EQ(out + stream.finish(), text);
  }
}

}  // namespace
}  // namespace hypura
