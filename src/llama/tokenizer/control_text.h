// Text that spells a model's control tokens, and how it is kept from becoming them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hypura/result.h"
#include "llama/tokenizer/spellings.h"
#include "llama/tokenizer/tokenizer.h"
#include "llama/vocabulary.h"

namespace hypura {

// The text of a token, perhaps not whole characters; of control tokens only when `special`.
std::string token_text(Vocabulary vocab, int32_t token, bool special);

// How a vocabulary's control tokens are spelled. Immutable, so that any thread may read it. Must not outlive the
// vocabulary.
class ControlText {
 public:
  explicit ControlText(Vocabulary vocab);

  // The spelling that `text` begins with, the longest if there are several; empty when it begins with none.
  std::string_view at_beginning(std::string_view text) const;

  bool anywhere_in(std::string_view text) const;

  Vocabulary vocab() const { return vocab_; }

 private:
  Vocabulary vocab_;
  Spellings spellings_;
};

// The strings of one prompt, with stand-ins where they spell a control token. A stand-in is letters and digits that
// nobody can foresee, so that no template changes it and no text contains it by design or chance.
class MaskedText {
 public:
  explicit MaskedText(const ControlText& control);

  std::string mask(const std::string& text);

  // The same for all strings of a JSON value, object keys included, after unescaping. Fails as check_json.
  Result<std::string> mask_json(const std::string& text, std::string_view what);

  // Whether anything was masked so far.
  bool any() const { return !spelled_.empty(); }

  // The text of a prompt that was made of masked strings: as if they had not been.
  std::string text(std::string_view prompt) const;

  // Its tokens: control tokens are recognised, but not where a stand-in stands for their spelling. What stands between
  // two stand-ins and has no control token is tokenized together with them.
  std::vector<int32_t> tokens(std::string_view prompt, bool add_bos) const;

 private:
  template <class Plain, class Spelled>
  void split(std::string_view prompt, Plain plain, Spelled spelled) const;

  const ControlText& control_;
  std::string nonce_;
  std::vector<std::string> spelled_;  // what stand-in number i stands for
};

// llama.cpp's parsers of JSON and of schemas call themselves for each level.
inline constexpr int kDeepestJson = 100;

// Whether brackets in `text` are nested deeper than kDeepestJson.
bool too_deep(std::string_view text);

// Fails with kUsage when `text`, which `what` names, is no JSON or nested deeper than kDeepestJson.
Status check_json(const std::string& text, std::string_view what);

}  // namespace hypura
