#include "make_model/vocab.h"

#include <string>
#include <string_view>

#include "support/fail.h"

namespace hypura {
namespace {

// The values of tokenizer.ggml.token_type that matter here.
constexpr int32_t kUnknownToken = 2;
constexpr int32_t kControlToken = 3;
constexpr int32_t kUnusedToken = 5;
constexpr float kPadScore = -10000.0F;     // as llama.cpp's converter scores them
constexpr int64_t kMaxTokens = 2'000'000;  // several times the largest vocabularies
constexpr const char* kTokens = "tokenizer.ggml.tokens";

void keep_tokenizer_keys(gguf_context* keys) {
  std::vector<std::string> others;
  for (int64_t i = 0; i < gguf_get_n_kv(keys); ++i) {
    const std::string_view key = gguf_get_key(keys, i);
    if (!key.starts_with("tokenizer.")) {
      others.emplace_back(key);
    }
  }
  for (const std::string& key : others) {
    gguf_remove_key(keys, key.c_str());
  }
}

std::vector<bool> special_tokens(const gguf_context* keys, int64_t tokens) {
  std::vector<bool> special(static_cast<size_t>(tokens), false);
  const int64_t key = gguf_find_key(keys, "tokenizer.ggml.token_type");
  if (key < 0 || gguf_get_kv_type(keys, key) != GGUF_TYPE_ARRAY || gguf_get_arr_type(keys, key) != GGUF_TYPE_INT32 ||
      static_cast<int64_t>(gguf_get_arr_n(keys, key)) != tokens) {
    return special;
  }
  const auto* types = static_cast<const int32_t*>(gguf_get_arr_data(keys, key));
  for (size_t i = 0; i < special.size(); ++i) {
    special[i] = types[i] == kUnknownToken || types[i] == kControlToken || types[i] == kUnusedToken;
  }
  return special;
}

void pad_tokens(gguf_context* keys, int64_t had, int64_t tokens) {
  const int64_t key = gguf_find_key(keys, kTokens);
  std::vector<std::string> texts;
  texts.reserve(static_cast<size_t>(tokens));
  for (int64_t i = 0; i < tokens; ++i) {
    texts.push_back(i < had ? gguf_get_arr_str(keys, key, static_cast<size_t>(i)) : fmt::format("[PAD{}]", i));
  }
  std::vector<const char*> pointers;
  pointers.reserve(texts.size());
  for (const std::string& text : texts) {
    pointers.push_back(text.c_str());
  }
  gguf_set_arr_str(keys, kTokens, pointers.data(), pointers.size());
}

// Lengthens an array of one number a token, where there is one.
template <class T>
void pad_numbers(gguf_context* keys, const char* name, gguf_type type, T padding, int64_t tokens) {
  const int64_t key = gguf_find_key(keys, name);
  if (key < 0 || gguf_get_kv_type(keys, key) != GGUF_TYPE_ARRAY || gguf_get_arr_type(keys, key) != type) {
    return;
  }
  const auto* data = static_cast<const T*>(gguf_get_arr_data(keys, key));
  std::vector<T> values(data, data + gguf_get_arr_n(keys, key));
  values.resize(static_cast<size_t>(tokens), padding);
  gguf_set_arr_data(keys, name, type, values.data(), values.size());
}

}  // namespace

Result<Vocab> load_vocab(std::filesystem::path path) {
  if (path.empty()) {
    path = HYPURA_DEFAULT_VOCAB;
  }
  Vocab vocab;
  vocab.keys.reset(gguf_init_from_file(path.c_str(), {.no_alloc = true, .ctx = nullptr}));
  if (!vocab.keys) {
    return fail(ErrorCode::kIo, "{} cannot be read as a GGUF file; name one with a tokenizer by --vocab",
                path.string());
  }
  keep_tokenizer_keys(vocab.keys.get());
  const int64_t list = gguf_find_key(vocab.keys.get(), kTokens);
  if (list < 0 || gguf_get_kv_type(vocab.keys.get(), list) != GGUF_TYPE_ARRAY) {
    return fail(ErrorCode::kBadModel, "{} holds no tokenizer.ggml.tokens; name a GGUF file with a tokenizer by --vocab",
                path.string());
  }
  vocab.tokens = static_cast<int64_t>(gguf_get_arr_n(vocab.keys.get(), list));
  vocab.special = special_tokens(vocab.keys.get(), vocab.tokens);
  return vocab;
}

Status pad_vocab(Vocab& vocab, int64_t tokens) {
  if (tokens < vocab.tokens || tokens > kMaxTokens) {
    return fail(ErrorCode::kUsage, "--vocab-tokens {} is out of range; the vocabulary has {}, and {} are the most",
                tokens, vocab.tokens, kMaxTokens);
  }
  pad_tokens(vocab.keys.get(), vocab.tokens, tokens);
  pad_numbers<float>(vocab.keys.get(), "tokenizer.ggml.scores", GGUF_TYPE_FLOAT32, kPadScore, tokens);
  pad_numbers<int32_t>(vocab.keys.get(), "tokenizer.ggml.token_type", GGUF_TYPE_INT32, kUnusedToken, tokens);
  vocab.special.resize(static_cast<size_t>(tokens), true);
  vocab.tokens = tokens;
  return {};
}

}  // namespace hypura
