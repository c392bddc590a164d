// Prompts of a known length.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "hypura/result.h"

namespace hypura {

// Tokens of a text.
using CountTokens = std::function<size_t(const std::string&)>;

// A text that the tokenizer turns into exactly `count` tokens: the same on every run, another for every `seed`. Fails
// with kInternal when none is found.
Result<std::string> prompt_text(const CountTokens& tokens_of, uint32_t count, uint32_t seed);

// `sentence` again and again, as often as at most `count` tokens hold, but once at least.
std::string repeated_text(const CountTokens& tokens_of, uint32_t count, const std::string& sentence);

}  // namespace hypura
