#include "bench/run/prompt_text.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace hypura {
namespace {

size_t words_of(const std::string& text) {
  return text.empty() ? 0 : 1 + static_cast<size_t>(std::count(text.begin(), text.end(), ' '));
}

TEST(PromptText, HasAsManyTokensAsAskedForAndIsTheSameEachTime) {
  for (const uint32_t count : {1U, 16U, 700U}) {
    const auto text = prompt_text(words_of, count, 1);
    ASSERT_TRUE(text) << text.error().message;
    EXPECT_EQ(words_of(*text), count);
    EXPECT_EQ(*prompt_text(words_of, count, 1), *text);
  }
  EXPECT_NE(*prompt_text(words_of, 16, 1), *prompt_text(words_of, 16, 2));
}

TEST(RepeatedText, IsTheSentenceAsOftenAsFits) {
  EXPECT_EQ(repeated_text(words_of, 8, "a red ball."), "a red ball. a red ball.");
  EXPECT_EQ(repeated_text(words_of, 9, "a red ball."), "a red ball. a red ball. a red ball.");
  EXPECT_EQ(repeated_text(words_of, 1, "a red ball."), "a red ball.");
}

}  // namespace
}  // namespace hypura
