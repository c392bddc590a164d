// A model's vocabulary: its tokens, and which of them begin and end a text.
#pragma once

#include <cstdint>

struct llama_model;
struct llama_vocab;

namespace hypura {

// A view, to be passed by value: the model owns the vocabulary and must outlive it. Any thread may read it.
class Vocabulary {
 public:
  explicit Vocabulary(const llama_model& model);
  explicit Vocabulary(const llama_vocab* vocab) : vocab_(vocab) {}

  // Number of tokens; they are numbered from 0.
  int32_t size() const;
  bool has(int32_t token) const { return token >= 0 && token < size(); }

  // Whether a text ends with the token (EOS, EOT and their like).
  bool ends_text(int32_t token) const;
  // The token that texts begin with; -1 when there is none.
  int32_t bos() const;
  // Whether texts are to begin with it.
  bool adds_bos() const;

  // A token as the file spells it. token_text (llama/tokenizer/control_text.h) gives the text that it stands for.
  const char* spelling(int32_t token) const;

  // llama.cpp's number of its kind: BPE, SentencePiece and so on.
  int kind() const;

  // For llama/ and for tests.
  const llama_vocab* get() const { return vocab_; }

 private:
  const llama_vocab* vocab_;
};

}  // namespace hypura
