// How many tokens a text has at least, told from its bytes: what is far too long for a context is refused before it is
// tokenised, which would take seconds.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <vector>

#include "llama/vocabulary.h"

namespace hypura {

// Thread-safe. The vocabulary, which it must not outlive, is looked through when it is first needed.
//
// Bytes fall into classes: letters, digits, other signs of ASCII, and all beyond ASCII. A text of n bytes of a class
// has at least n / m tokens where no token has more than m of them. White space does not count, since tokenizers may
// drop it; nor does a class of which the vocabulary lacks a byte, nor anything with tokenizers that make one token of
// an unknown word (WordPiece, Unigram).
class TextBound {
 public:
  explicit TextBound(Vocabulary vocab) : vocab_(vocab) {}

  // Tokens that `text` has at least; 0 when nothing is known. Never more than it has.
  uint64_t least_tokens(std::string_view text) const;

 private:
  static constexpr size_t kClasses = 4;
  using Counts = std::array<uint64_t, kClasses>;

  static Counts count(std::string_view text);
  void look_through() const;

  Vocabulary vocab_;
  mutable std::once_flag known_;
  mutable Counts most_{};  // bytes of each class in one token; 0: the class does not count
};

// The tokens of the last part of `text`: at least `count` of them, unless all of it has fewer. `share` is set to the
// share of the text's bytes that was tokenised.
std::vector<int32_t> tokenize_end(Vocabulary vocab, std::string_view text, size_t count, bool parse_special,
                                  double& share);

// The first part of `text`, or the last, of at most `bytes`, without a broken character where it is cut.
std::string_view beginning_of(std::string_view text, size_t bytes);
std::string_view end_of(std::string_view text, size_t bytes);

// Bytes of a text that are tokenised in no time.
inline constexpr size_t kAlwaysTokenised = 64 << 10;

// When `text` has far more than `limit` tokens: about how many, and more than `limit`. 0 when it has fewer, or when
// only counting tells. Quick, however long the text is.
uint64_t estimate_if_beyond(const TextBound& bound, Vocabulary vocab, std::string_view text, size_t limit);

}  // namespace hypura
