#include "make_model/vocab.h"

#include <string>
#include <string_view>

namespace hypura {
namespace {

// The values of tokenizer.ggml.token_type that matter here.
constexpr int32_t kUnknownToken = 2;
constexpr int32_t kControlToken = 3;
constexpr int32_t kUnusedToken = 5;

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
  const int64_t list = gguf_find_key(vocab.keys.get(), "tokenizer.ggml.tokens");
  if (list < 0 || gguf_get_kv_type(vocab.keys.get(), list) != GGUF_TYPE_ARRAY) {
    return fail(ErrorCode::kBadModel, "{} holds no tokenizer.ggml.tokens; name a GGUF file with a tokenizer by --vocab",
                path.string());
  }
  vocab.tokens = static_cast<int64_t>(gguf_get_arr_n(vocab.keys.get(), list));
  vocab.special = special_tokens(vocab.keys.get(), vocab.tokens);
  return vocab;
}

}  // namespace hypura
