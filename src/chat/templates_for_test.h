// For tests: every chat template that comes with llama.cpp, over small vocabularies of two kinds.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "chat/chat_format.h"
#include "llama.h"
#include "llama/llama_context.h"
#include "llama/llama_runtime.h"
#include "llama/model_with_template_for_test.h"
#include "llama/models_for_test.h"
#include "support/temp_dir_for_test.h"

namespace hypura {

inline const std::filesystem::path kLlamaModels =
    std::filesystem::path(HYPURA_SOURCE_DIR) / "deps" / "llama.cpp" / "models";

// The names of all templates, in order.
inline std::vector<std::string> template_names() {
  std::vector<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(kLlamaModels / "templates")) {
    if (file.path().extension() == ".jinja") {
      names.push_back(file.path().stem().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

inline std::string template_text(const std::string& name) {
  std::ifstream file(kLlamaModels / "templates" / (name + ".jinja"));
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Writes the tokenizer of `from` with its first `count` tokens only: control tokens and bytes come first, then pieces
// in the order of the merges that make them. Grammars try each token, so a small vocabulary is tried soon.
inline void write_first_tokens(const std::filesystem::path& from, const std::filesystem::path& to, size_t count) {
  gguf_context* whole = gguf_init_from_file(from.c_str(), {true, nullptr});
  ASSERT_NE(whole, nullptr) << from;
  gguf_context* part = gguf_init_empty();
  gguf_set_kv(part, whole);
  const auto find = [&](const char* key) { return gguf_find_key(whole, key); };
  const auto keep_texts = [&](const char* key, size_t kept) {
    std::vector<const char*> texts;
    for (size_t i = 0; i < kept; ++i) {
      texts.push_back(gguf_get_arr_str(whole, find(key), i));
    }
    gguf_set_arr_str(part, key, texts.data(), kept);
  };
  const size_t all = gguf_get_arr_n(whole, find("tokenizer.ggml.tokens"));
  ASSERT_LT(count, all);
  keep_texts("tokenizer.ggml.tokens", count);
  if (find("tokenizer.ggml.merges") >= 0) {
    keep_texts("tokenizer.ggml.merges", gguf_get_arr_n(whole, find("tokenizer.ggml.merges")) - (all - count));
  }
  for (const auto& [key, type] : {std::pair("tokenizer.ggml.scores", GGUF_TYPE_FLOAT32),
                                  std::pair("tokenizer.ggml.token_type", GGUF_TYPE_INT32)}) {
    if (find(key) >= 0) {
      gguf_set_arr_data(part, key, type, gguf_get_arr_data(whole, find(key)), count);
    }
  }
  EXPECT_TRUE(gguf_write_to_file(part, to.c_str(), true));
  gguf_free(part);
  gguf_free(whole);
}

enum class VocabularyKind { kBpe, kSentencePiece };

// A tokenizer with the template, without weights; and what reads conversations by it.
class ModelOfTemplate {
 public:
  // `vocabulary` is the file with the tokenizer.
  ModelOfTemplate(const std::string& chat_template, const std::filesystem::path& vocabulary) {
    EXPECT_TRUE(init_llama());
    const TempDir folder;
    const auto file = folder.path() / "template.gguf";
    EXPECT_TRUE(write_with_template(vocabulary, file, chat_template, false));
    llama_model_params params = llama_model_default_params();
    params.vocab_only = true;
    model_.reset(llama_model_load_from_file(file.c_str(), params));
    EXPECT_NE(model_, nullptr);
    prompt_.emplace(*model_);
    format_.emplace(*prompt_);
  }

  Vocabulary vocab() const { return Vocabulary(*model_); }
  const ChatPrompt& prompt() const { return *prompt_; }
  const ChatFormat& format() const { return *format_; }

 private:
  LlamaModelPtr model_;
  std::optional<ChatPrompt> prompt_;
  std::optional<ChatFormat> format_;
};

// The template of this name, opened once in a process: its first request tries the template in many ways.
inline const ModelOfTemplate& model_of_template(const std::string& name, VocabularyKind kind) {
  // Never destroyed: at the end of the process llama.cpp's own state may be gone before.
  static auto& models = *new std::map<std::pair<std::string, VocabularyKind>, ModelOfTemplate>;
  const auto known = models.find({name, kind});
  if (known != models.end()) {
    return known->second;
  }
  constexpr size_t kTokens = 1000;
  static const TempDir folder;
  const bool bpe = kind == VocabularyKind::kBpe;
  const auto vocabulary = folder.path() / (bpe ? "bpe.gguf" : "sentence_piece.gguf");
  if (!std::filesystem::exists(vocabulary)) {
    write_first_tokens(bpe ? kModels / "hypura-stories-draft.gguf" : kLlamaModels / "ggml-vocab-llama-spm.gguf",
                       vocabulary, kTokens);
  }
  return models.try_emplace({name, kind}, template_text(name), vocabulary).first->second;
}

}  // namespace hypura
