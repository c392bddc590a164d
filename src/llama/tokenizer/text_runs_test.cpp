#include "llama/tokenizer/text_runs.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace hypura {
namespace {

std::string times(const std::string& text, size_t count) {
  std::string result;
  for (size_t i = 0; i < count; ++i) {
    result += text;
  }
  return result;
}

size_t longest(const std::string& text, Splitter splitter) {
  size_t most = 0;
  for (const TextRun& run : long_runs(text, splitter, 10)) {
    most = std::max(most, run.characters);
  }
  return most;
}

TEST(TextRuns, ClassesAreApart) {
  EXPECT_EQ(longest(times("a", 50), Splitter::kClasses), 50U);
  EXPECT_EQ(longest(times("a1", 50), Splitter::kClasses), 0U);
  EXPECT_EQ(longest(times("a ", 50), Splitter::kClasses), 0U);
  EXPECT_EQ(longest("12" + times("!", 30) + "a", Splitter::kClasses), 30U);
  EXPECT_EQ(longest(times(" \n", 20), Splitter::kClasses), 40U);
  EXPECT_EQ(longest(times("9", 20) + "." + times("9", 30), Splitter::kClasses), 30U);
}

TEST(TextRuns, LineBreaksBelongToWhatIsBefore) {
  EXPECT_EQ(longest("!" + times("\n", 20) + "!!", Splitter::kClasses), 21U);
  EXPECT_EQ(longest(times("!!\n", 20), Splitter::kClasses), 0U);
  EXPECT_EQ(longest("!" + times("\n/", 20), Splitter::kClasses), 41U);
}

TEST(TextRuns, WhatIsNotAsciiMayBeAnything) {
  EXPECT_EQ(longest(times("\u4e2d", 30), Splitter::kClasses), 30U);
  EXPECT_EQ(longest(times("\u4e2da", 30), Splitter::kClasses), 60U);
  EXPECT_EQ(longest(times("\u4e2d", 9) + "\uff0c" + times("\u4e2d", 15) + "\u3002", Splitter::kClasses), 15U);
  EXPECT_EQ(longest(times("a\u0301", 30), Splitter::kClasses), 60U);
  EXPECT_EQ(longest(times("\xff", 30), Splitter::kClasses), 30U);
  EXPECT_EQ(longest(times(std::string(1, '\0'), 30), Splitter::kClasses), 30U);
}

TEST(TextRuns, OtherSplittersTakeOtherRuns) {
  EXPECT_EQ(longest(times("a b ", 20), Splitter::kSentences), 80U);
  EXPECT_EQ(longest(times("a, b ", 20), Splitter::kSentences), 0U);
  EXPECT_EQ(longest(times("a1=", 20), Splitter::kPhrases), 60U);
  EXPECT_EQ(longest(times("a1=.", 20), Splitter::kPhrases), 0U);
  EXPECT_EQ(longest(times("a1=.", 20), Splitter::kSolid), 80U);
  EXPECT_EQ(longest(times("a1=. ", 20), Splitter::kSolid), 0U);
  EXPECT_EQ(longest(times("a", 20), Splitter::kDigitGroups), 0U);
  EXPECT_EQ(longest(times("1", 20), Splitter::kDigitGroups), 20U);
  EXPECT_EQ(longest(times("1", 20), Splitter::kFlat), 0U);
  for (const char* text : {"a1=.", "a ", "1", "!", " \n", "\u4e2d"}) {
    EXPECT_GE(longest(times(text, 20), Splitter::kUnknown), 20U) << text;
  }
}

TEST(TextRuns, AreReportedWhereTheyStand) {
  const auto runs = long_runs("1 " + times("\u4e2d", 20) + " !", Splitter::kClasses, 15);
  ASSERT_FALSE(runs.empty());
  EXPECT_EQ(runs.front().begin, 2U);
  EXPECT_EQ(runs.front().end, 62U);
}

// llama.cpp's own list: a new name must be put with the others, by what its expressions repeat.
TEST(TextRuns, EverySplitterIsKnown) {
  std::ifstream file(std::filesystem::path(HYPURA_SOURCE_DIR) / "deps" / "llama.cpp" / "src" / "llama-vocab.cpp");
  const std::string source{std::istreambuf_iterator<char>(file), {}};
  const std::string before = "tokenizer_pre == \"";
  size_t names = 0;
  for (size_t at = source.find(before); at != std::string::npos; at = source.find(before, at), ++names) {
    at += before.size();
    const std::string name = source.substr(at, source.find('"', at) - at);
    EXPECT_NE(splitter_named(name), Splitter::kUnknown) << name;
  }
  EXPECT_GT(names, 80U);
}

}  // namespace
}  // namespace hypura
