#include "output/answer_rest.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

// A call's own mark ends thoughts too; content is between channel marks.
AnswerRest qwen() {
  return {{"<think>", {"</think>", "<tool_call>"}}, "<say>", {"<tool_call>"}};
}

TEST(AnswerRest, SpaceBetweenMarksBecomesALineBreakOrNothing) {
  EXPECT_EQ(AnswerRest::little_space_between_marks("<a> \t<b>"), "<a><b>");
  EXPECT_EQ(AnswerRest::little_space_between_marks("<a> \r\n\n <b>x"), "<a>\n<b>x");
}

TEST(AnswerRest, OtherSpaceStays) {
  for (const char* text : {"", " ", "<a>  x", "x  <a>", "  <a>", "<a>  "}) {
    EXPECT_EQ(AnswerRest::little_space_between_marks(text), text);
  }
}

TEST(AnswerRest, SpaceAfterTheMarkThatEndsThoughtsGoes) {
  EXPECT_EQ(qwen().no_space_after_thoughts("<think>Well.</think>\r\n\t {}", "Well."), "<think>Well.</think>{}");
  // A mark that stands before the thoughts ends no thoughts.
  EXPECT_EQ(qwen().no_space_after_thoughts("</think> Well.</think> {}", "Well."), "</think> Well.</think>{}");
  EXPECT_EQ(qwen().no_space_after_thoughts("<think></think> {}", ""), "<think></think>{}");
  EXPECT_EQ(qwen().no_space_after_thoughts("Well.</think>  ", "Well."), "Well.</think>");
}

TEST(AnswerRest, WithoutThatMarkTheTextStays) {
  EXPECT_EQ(qwen().no_space_after_thoughts("<think>Well.  ", "Well."), "<think>Well.  ");
  EXPECT_EQ(qwen().no_space_after_thoughts("x</think> {}", "Well."), "x</think> {}");
  EXPECT_EQ(AnswerRest().no_space_after_thoughts("<think>Well.</think> {}", "Well."), "<think>Well.</think> {}");
}

TEST(AnswerRest, WhatComesAfterThoughtsIsGivenWithoutTheirMark) {
  EXPECT_EQ(qwen().after("<think>Well.</think>\n\nNow", "Well.", "", false), "Now");
  EXPECT_EQ(qwen().after("<think>Well.\n</think>Now", "Well.", "", false), "Now");
  EXPECT_EQ(qwen().after("Now", "", "", false), "Now");
  // What ends thoughts and is no mark of theirs stays.
  EXPECT_EQ(qwen().after("<think>Well.<tool_call>{", "Well.", "", false), "<tool_call>{");
  // The parser gave less than all the thoughts: the rest of them was said, and the mark in it.
  EXPECT_EQ(qwen().after("<think>Well. So</think>Now", "Well.", "", false), "So</think>Now");
}

TEST(AnswerRest, ABeginningOfTheMarkThatEndsThoughtsIsNotSaid) {
  EXPECT_EQ(qwen().after("<think>Well.</thi", "Well.", "", false), "");
  EXPECT_EQ(qwen().after("<think>Well.", "Well.", "", false), "");
  EXPECT_EQ(qwen().after("<think>Well.</thing", "Well.", "", false), "</thing");
}

TEST(AnswerRest, ThoughtsThatAreNotInTheTextEndAtTheFirstMark) {
  EXPECT_EQ(qwen().after("<think>We ll.</think>Now", "Well.", "", false), "Now");
  EXPECT_EQ(qwen().after("<think>We ll.", "Well.", "", false), "");
}

TEST(AnswerRest, WhatOpensContentIsNotSaidWhereNoContentCame) {
  for (const char* text : {"", "  ", "<s", "<say>", "<say> \n"}) {
    EXPECT_EQ(qwen().after(std::string("<think>Well.</think>") + text, "Well.", "", false), "") << text;
  }
  EXPECT_EQ(qwen().after("<think>Well.</think><say>x", "Well.", "", false), "<say>x");
}

TEST(AnswerRest, AfterContentOnlyCallsCount) {
  EXPECT_EQ(qwen().after("Now</say>", "", "Now", false), "");
  EXPECT_EQ(qwen().after("Now <tool_call>{", "", "Now", false), " <tool_call>{");
  EXPECT_EQ(qwen().after("Now {}", "", "Now", true), " {}");
  EXPECT_EQ(qwen().after("No w {}", "", "Now", true), "");
  // Content is looked for after the thoughts that hold the same words.
  EXPECT_EQ(qwen().after("<think>Now<tool_call></think>Now", "Now<tool_call>", "Now", true), "");
}

TEST(AnswerRest, WithoutMarksAllIsSaid) {
  EXPECT_EQ(AnswerRest().after(" <say>x", "", "", false), "<say>x");
  EXPECT_EQ(AnswerRest().after("x y", "", "x", false), "");
  EXPECT_EQ(AnswerRest().after("Well. x", "Well.", "", false), "x");
}

}  // namespace
}  // namespace hypura
