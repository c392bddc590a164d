// Text as token ids: llama.cpp's, kept from what would end the process or take minutes.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "llama/vocabulary.h"

namespace hypura {

// Token ids of `text`. Control tokens written in it are recognised only when `parse_special`. They are exactly
// llama.cpp's, but for this: where its splitter would take more than kDeepestRun characters in one go (it dies of that
// itself), a word ends after so many. Any thread may call it.
std::vector<int32_t> tokenize_text(Vocabulary vocabulary, std::string_view text, bool add_bos, bool parse_special);

// Takes about 25 MB of stack while it is split.
inline constexpr size_t kDeepestRun = 65536;

// Notes what a vocabulary does not tell of itself: how `model` splits text. For one that is not known the deepest kind
// of splitter is assumed, so that words may end where they need not. Every known model must be forgotten before it is
// freed.
void know_tokenizer(const llama_model& model);
void forget_tokenizer(const llama_model& model);

}  // namespace hypura
