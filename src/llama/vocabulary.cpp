#include "llama/vocabulary.h"

#include "llama.h"

namespace hypura {

Vocabulary::Vocabulary(const llama_model& model) : vocab_(llama_model_get_vocab(&model)) {}

int32_t Vocabulary::size() const {
  return llama_vocab_n_tokens(vocab_);
}

bool Vocabulary::ends_text(int32_t token) const {
  return llama_vocab_is_eog(vocab_, token);
}

int32_t Vocabulary::bos() const {
  return llama_vocab_bos(vocab_);
}

bool Vocabulary::adds_bos() const {
  return llama_vocab_get_add_bos(vocab_);
}

const char* Vocabulary::spelling(int32_t token) const {
  return llama_vocab_get_text(vocab_, token);
}

int Vocabulary::kind() const {
  return llama_vocab_type(vocab_);
}

}  // namespace hypura
