// The tokenizer of a donor GGUF file, ready to be copied into another.
#pragma once

#include <gguf.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "hypura/result.h"

namespace hypura {

struct KeysDeleter {
  void operator()(gguf_context* context) const { gguf_free(context); }
};
using KeysPtr = std::unique_ptr<gguf_context, KeysDeleter>;

struct Vocab {
  KeysPtr keys;               // the tokenizer.* keys only
  int64_t tokens = 0;         // length of the token list
  std::vector<bool> special;  // per token: control, unknown or unused, which generated text should not contain
};

// Reads the header of `path`; empty means the project's own stories model. Fails with kIo when it cannot be read as
// GGUF, and with kBadModel when it holds no tokenizer.
Result<Vocab> load_vocab(std::filesystem::path path);

// Adds unused tokens, named as converters name them ("[PAD8192]"), until there are `tokens`: the headers of large
// models are large because of their vocabulary. Fails with kUsage when there are more already, or when that is absurdly
// many.
Status pad_vocab(Vocab& vocab, int64_t tokens);

}  // namespace hypura
