#include "llama/text_grammar.h"

#include "llama-grammar.h"
#include "llama/candidate_array.h"
#include "llama/tokenizer/control_text.h"
#include "support/fail.h"

namespace hypura {

void TextGrammar::Deleter::operator()(llama_grammar* grammar) const {
  llama_grammar_free_impl(grammar);
}

Result<TextGrammar> TextGrammar::create(Vocabulary vocab, const std::string& rules, const std::string& root) {
  try {  // perhaps by exceptions of another C++ library, where llama.cpp was built with one
    Pointer grammar(llama_grammar_init_impl(vocab.get(), rules.c_str(), root.c_str(), false, nullptr, 0, nullptr, 0));
    if (grammar != nullptr) {
      return TextGrammar(std::move(grammar));
    }
  } catch (...) {  // told below
  }
  return fail(ErrorCode::kUsage,
              "the answer cannot be constrained to this schema or these tools: llama.cpp rejects their grammar");
}

TextGrammar::TextGrammar(const TextGrammar& other) : grammar_(llama_grammar_clone_impl(*other.grammar_)) {}

bool TextGrammar::add(const std::string& text) {
  try {  // perhaps by exceptions of another C++ library, where llama.cpp was built with one
    llama_grammar_accept_str(*grammar_, text);
    return true;
  } catch (...) {
    return false;
  }
}

void TextGrammar::add(int32_t token) {
  llama_grammar_accept_token(*grammar_, token, token_text(Vocabulary(grammar_->vocab), token, true));
}

bool TextGrammar::allows(int32_t token) const {
  llama_token_data data = {token, 1, 0};
  llama_token_data_array one = {&data, 1, -1, false};
  llama_grammar_apply_impl(*grammar_, &one);
  return data.logit == 1;
}

void TextGrammar::mask(std::span<Candidate> candidates) const {
  llama_token_data_array array = as_llama(candidates);
  llama_grammar_apply_impl(*grammar_, &array);
}

std::string grammar_literal(std::string_view text) {
  std::string literal = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
      case '\\':
        literal += '\\';
        literal += c;
        break;
      case '\n':
        literal += "\\n";
        break;
      case '\r':
        literal += "\\r";
        break;
      case '\t':
        literal += "\\t";
        break;
      default:
        literal += c;
    }
  }
  return literal + '"';
}

}  // namespace hypura
