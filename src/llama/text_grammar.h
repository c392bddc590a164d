// A text held to a grammar of llama.cpp's. The one place that uses llama.cpp's grammars from inside: its public sampler
// takes tokens only, while what a prompt holds of an answer, and what follows a mark within a token, is text.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "hypura/result.h"
#include "llama/candidate.h"
#include "llama/vocabulary.h"

struct llama_grammar;

namespace hypura {

// Where in its grammar a text is. Belongs to one thread at a time. The vocabulary must outlive it.
class TextGrammar {
 public:
  // `rules` in llama.cpp's notation, from the rule called `root`. Fails with kUsage when llama.cpp does not accept
  // them.
  static Result<TextGrammar> create(Vocabulary vocab, const std::string& rules, const std::string& root);

  TextGrammar(const TextGrammar& other);
  TextGrammar(TextGrammar&&) noexcept = default;
  TextGrammar& operator=(TextGrammar&&) noexcept = default;
  TextGrammar& operator=(const TextGrammar&) = delete;
  ~TextGrammar() = default;

  // Goes on with `text`; false when it cannot follow, after which the object is of no use.
  bool add(const std::string& text);

  // Goes on with `token`, which must be allowed.
  void add(int32_t token);

  bool allows(int32_t token) const;

  // Sets the logits of tokens that cannot follow to -infinity.
  void mask(std::span<Candidate> candidates) const;

 private:
  struct Deleter {
    void operator()(llama_grammar* grammar) const;
  };
  using Pointer = std::unique_ptr<llama_grammar, Deleter>;

  explicit TextGrammar(Pointer grammar) : grammar_(std::move(grammar)) {}

  Pointer grammar_;
};

// A string as a literal of the grammar notation, with its quotes.
std::string grammar_literal(std::string_view text);

}  // namespace hypura
