// Text as tokens, by small vocabularies of several kinds. The first byte chooses one, the second how often the first
// half of the rest is repeated. Whatever comes, there are tokens, and those of a byte-level vocabulary spell the text.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "llama.h"
#include "llama/tokenizer/control_text.h"
#include "llama/tokenizer/text_runs.h"
#include "llama/vocabularies_for_test.h"

namespace hypura {
namespace {

struct Tokenizer {
  LlamaModelPtr model;
  bool spells = false;  // every byte has a token of its own
};

std::vector<Tokenizer> load_all() {
  std::vector<Tokenizer> all;
  for (const char* splitter :
       {"default",  "deepseek-llm", "deepseek-coder", "deepseek-v3", "youtu",     "falcon", "jais-2",
        "bloom",    "viking",       "tekken",         "exaone-moe",  "chameleon", "gpt-4o", "tiny_aya",
        "superbpe", "bailingmoe",   "afmoe",          "qwen2",       "llama3",    "kimi-k2"}) {
    all.push_back({load_vocabulary(small_bpe(splitter)), true});
  }
  all.push_back({load_vocabulary(small_sentencepiece()), false});
  return all;
}

std::string text_of(const uint8_t* data, size_t size) {
  constexpr size_t kMostText = 40000;
  const std::string unit(reinterpret_cast<const char*>(data + 2), (size - 2) / 2);
  std::string text;
  for (size_t i = 0; i < size_t{data[1]} * data[1] && text.size() < kMostText; ++i) {
    text += unit;
  }
  return text.append(reinterpret_cast<const char*>(data + 2 + unit.size()), size - 2 - unit.size());
}

// What llama.cpp's splitter reads in its place, once for each byte that begins no character.
std::string as_read(const std::string& text) {
  std::string read;
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = character_bytes(text, at);
    const bool none = bytes == 1 && static_cast<unsigned char>(text[at]) >= 0x80;
    read += none ? "\xef\xbf\xbd" : text.substr(at, bytes);
    at += bytes;
  }
  return read;
}

void tokenize(const uint8_t* data, size_t size) {
  static const std::vector<Tokenizer> tokenizers = load_all();
  const Tokenizer& tokenizer = tokenizers[data[0] % tokenizers.size()];
  const Vocabulary vocab(*tokenizer.model);
  const std::string text = text_of(data, size);
  std::string spelled;
  for (const int32_t token : tokenize_text(vocab, text, false, true)) {
    spelled += token_text(vocab, token, true);
  }
  const bool valid = as_read(text) == text;
  if (tokenizer.spells && valid && spelled != text) {
    std::abort();
  }
  const ControlText control(vocab);
  MaskedText masked(control);
  const std::string safe = masked.mask(text);
  for (const int32_t token : masked.tokens(safe, true)) {
    if (llama_vocab_is_control(vocab.get(), token)) {
      std::abort();
    }
  }
  if (masked.text(safe) != text) {
    std::abort();
  }
}

}  // namespace
}  // namespace hypura

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size >= 2) {
    hypura::tokenize(data, size);
  }
  return 0;
}
