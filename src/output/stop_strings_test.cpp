#include "output/stop_strings.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

TEST(StopStrings, PassesEverythingOnWithoutAny) {
  StopStrings stops({"", ""});
  EXPECT_EQ(stops.add("one"), "one");
  EXPECT_EQ(stops.finish(), "");
  EXPECT_FALSE(stops.hit());
  EXPECT_EQ(stops.matched(), "");
}

TEST(StopStrings, EndsBeforeAStopString) {
  StopStrings stops({"END"});
  EXPECT_EQ(stops.add("some END of it"), "some ");
  EXPECT_TRUE(stops.hit());
  EXPECT_EQ(stops.add("more"), "");
  EXPECT_EQ(stops.finish(), "");
  EXPECT_EQ(stops.passed(), 5U);
}

TEST(StopStrings, FindsOneThatComesInPieces) {
  StopStrings stops({"</s>"});
  EXPECT_EQ(stops.add("a<"), "a");
  EXPECT_EQ(stops.add("/"), "");
  EXPECT_EQ(stops.add("s"), "");
  EXPECT_EQ(stops.matched(), "");
  EXPECT_EQ(stops.add(">b"), "");
  EXPECT_TRUE(stops.hit());
  EXPECT_EQ(stops.matched(), "</s>");
}

TEST(StopStrings, GivesBackWhatOnlyLookedLikeOne) {
  StopStrings stops({"aab"});
  EXPECT_EQ(stops.add("xa"), "x");
  EXPECT_EQ(stops.add("a"), "");
  EXPECT_EQ(stops.add("a"), "a");  // "aa" may still begin it
  EXPECT_EQ(stops.add("c"), "aac");
  EXPECT_EQ(stops.add("aa"), "");
  EXPECT_EQ(stops.finish(), "aa");
  EXPECT_FALSE(stops.hit());
}

TEST(StopStrings, TheEarliestOfSeveralCounts) {
  StopStrings stops({"late", "\n\n", "l"});
  EXPECT_EQ(stops.add("too late\n\n"), "too ");
  EXPECT_TRUE(stops.hit());
  EXPECT_EQ(stops.matched(), "late") << "at the same place as \"l\", and given before it";
}

TEST(StopStrings, CharactersStayWhole) {
  StopStrings stops({"\u00e9\u00e8"});
  EXPECT_EQ(stops.add("caf\u00e9"), "caf");
  EXPECT_EQ(stops.add("\u00e0"), "\u00e9\u00e0");
}

}  // namespace
}  // namespace hypura
