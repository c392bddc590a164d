// For tests: small vocabularies of llama.cpp's kinds.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <vector>

#include "gguf.h"
#include "llama.h"
#include "llama/llama_context.h"
#include "llama/llama_runtime.h"
#include "llama/tokenizer/tokenizer.h"

namespace hypura {

struct SmallVocabulary {
  std::string model = "gpt2";   // as "tokenizer.ggml.model" has it
  std::string pre = "default";  // the name of its splitter
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  std::vector<float> scores;
  std::vector<std::string> merges;

  void add(const std::string& text, int32_t type = LLAMA_TOKEN_TYPE_NORMAL) {
    tokens.push_back(text);
    types.push_back(type);
    scores.push_back(-static_cast<float>(tokens.size()));
  }
};

inline std::string utf8(uint32_t code) {
  if (code < 0x80) {
    return {static_cast<char>(code)};
  }
  return {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 0x3f))};
}

// Every byte, as GPT-2 writes it, and some pairs.
inline SmallVocabulary small_bpe(const std::string& pre, const std::string& model = "gpt2") {
  SmallVocabulary vocabulary;
  vocabulary.model = model;
  vocabulary.pre = pre;
  uint32_t others = 256;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const bool shown = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
    vocabulary.add(utf8(shown ? byte : others++));
  }
  for (const std::string pair : {"a a", "aa aa", "A A", "1 1", "11 1", "! !", "!! !!", "\u0120 \u0120", "\u010a \u010a",
                                 "h e", "l l", "he ll", "hell o", "\u0120 hello", "a 1"}) {
    vocabulary.merges.push_back(pair);
    const size_t space = pair.find(' ');
    vocabulary.add(pair.substr(0, space) + pair.substr(space + 1));
  }
  vocabulary.add("<|im_start|>", LLAMA_TOKEN_TYPE_CONTROL);
  vocabulary.add("<|im_end|>", LLAMA_TOKEN_TYPE_CONTROL);
  vocabulary.add("<b>", LLAMA_TOKEN_TYPE_USER_DEFINED);
  vocabulary.add("\n\n\n", LLAMA_TOKEN_TYPE_USER_DEFINED);
  return vocabulary;
}

// Letters and some words; everything else is spelled in bytes.
inline SmallVocabulary small_sentencepiece() {
  SmallVocabulary vocabulary;
  vocabulary.model = "llama";
  vocabulary.add("<unk>", LLAMA_TOKEN_TYPE_UNKNOWN);
  vocabulary.add("<s>", LLAMA_TOKEN_TYPE_CONTROL);
  vocabulary.add("</s>", LLAMA_TOKEN_TYPE_CONTROL);
  for (int byte = 0; byte < 256; ++byte) {
    vocabulary.add(fmt::format("<0x{:02X}>", byte), LLAMA_TOKEN_TYPE_BYTE);
  }
  for (const char* text :
       {"\u2581", "a", "b", "h", "e", "l", "o", "1", "aa", "he", "ll", "hell", "hello", "\u2581hello"}) {
    vocabulary.add(text);
  }
  vocabulary.add("<|im_start|>", LLAMA_TOKEN_TYPE_CONTROL);
  vocabulary.add("<|im_end|>", LLAMA_TOKEN_TYPE_CONTROL);
  return vocabulary;
}

// A model that has the vocabulary and no weights; null when llama.cpp refuses it.
inline LlamaModelPtr load_vocabulary(const SmallVocabulary& vocabulary) {
  if (!init_llama()) {
    return nullptr;
  }
  gguf_context* file = gguf_init_empty();
  const auto texts = [&](const char* key, const std::vector<std::string>& values) {
    std::vector<const char*> pointers;
    for (const std::string& value : values) {
      pointers.push_back(value.c_str());
    }
    gguf_set_arr_str(file, key, pointers.data(), pointers.size());
  };
  gguf_set_val_str(file, "general.architecture", "llama");
  for (const char* name :
       {"context_length", "embedding_length", "block_count", "feed_forward_length", "attention.head_count"}) {
    gguf_set_val_u32(file, fmt::format("llama.{}", name).c_str(), 32);
  }
  gguf_set_val_f32(file, "llama.attention.layer_norm_rms_epsilon", 1e-5F);
  gguf_set_val_str(file, "tokenizer.ggml.model", vocabulary.model.c_str());
  gguf_set_val_str(file, "tokenizer.ggml.pre", vocabulary.pre.c_str());
  texts("tokenizer.ggml.tokens", vocabulary.tokens);
  texts("tokenizer.ggml.merges", vocabulary.merges);
  const std::vector<int32_t>& types = vocabulary.types;
  const std::vector<float>& scores = vocabulary.scores;
  gguf_set_arr_data(file, "tokenizer.ggml.token_type", GGUF_TYPE_INT32, types.data(), types.size());
  gguf_set_arr_data(file, "tokenizer.ggml.scores", GGUF_TYPE_FLOAT32, scores.data(), scores.size());
  for (const char* name : {"bos", "eos", "unknown", "padding"}) {
    gguf_set_val_u32(file, fmt::format("tokenizer.ggml.{}_token_id", name).c_str(), 1);
  }
  FILE* written = std::tmpfile();
  const bool ok = written != nullptr && gguf_write_to_file_ptr(file, written, true);
  gguf_free(file);
  llama_model_params params = llama_model_default_params();
  params.vocab_only = true;
  params.load_mode = LLAMA_LOAD_MODE_NONE;  // the file is not laid out to be mapped
  if (ok) {
    std::rewind(written);
  }
  LlamaModelPtr model(ok ? llama_model_load_from_file_ptr(written, params) : nullptr);
  if (written != nullptr) {
    std::fclose(written);
  }
  if (model != nullptr) {
    know_tokenizer(*model);
  }
  return model;
}

}  // namespace hypura
