#include "bench/run/prompt_text.h"

#include <array>

#include "support/fail.h"

namespace hypura {

namespace {

constexpr std::array kWords = {"the",   "little", "rabbit", "ran",  "into", "a",    "big",  "forest", "and",  "saw",
                               "there", "was",    "once",   "tree", "with", "many", "red",  "apples", "he",   "liked",
                               "to",    "play",   "in",     "sun",  "but",  "his",  "mom",  "said",   "that", "it",
                               "time",  "go",     "home",   "now",  "so",   "they", "went", "back",   "very", "happy"};

}  // namespace

// Tokenizing is linear in the text, so words are added many at a time while there is far to go.
Result<std::string> prompt_text(const CountTokens& tokens_of, uint32_t count, uint32_t seed) {
  std::string text;
  uint32_t state = seed;
  size_t refused = 0;
  while (true) {
    const size_t length = tokens_of(text);
    if (length == count) {
      return text;
    }
    if (length > count || refused > 4 * kWords.size()) {
      return fail(ErrorCode::kInternal, "no text of exactly {} tokens was found for this model's tokenizer", count);
    }
    const size_t words = refused > 0 ? 1 : (count - length) / 16 + 1;
    std::string longer = text;
    for (size_t i = 0; i < words; ++i) {
      state = state * 1664525U + 1013904223U;
      longer += (longer.empty() ? "" : " ") + std::string(kWords[(state >> 16) % kWords.size()]);
    }
    if (tokens_of(longer) <= count) {
      text = std::move(longer);
    } else {
      ++refused;
    }
  }
}

std::string repeated_text(const CountTokens& tokens_of, uint32_t count, const std::string& sentence) {
  std::string text = sentence;
  for (std::string longer = text; tokens_of(longer) <= count; longer += " " + sentence) {
    text = longer;
  }
  return text;
}

}  // namespace hypura
