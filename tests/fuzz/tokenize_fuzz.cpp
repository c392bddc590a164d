// Text as tokens, by small vocabularies of several kinds. The first byte chooses one, the second how often the first
// half of the rest is repeated. Whatever comes, there are tokens, and those of a byte-level vocabulary spell the text.
// Texts are short, since a KiB takes up to 0.1 s here; but two bytes may be repeated until their run is too long for a
// usual stack.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "llama.h"
#include "llama/tokenizer/control_text.h"
#include "llama/vocabularies_for_test.h"
#include "output/answer_utf8.h"

namespace hypura {
namespace {

struct Tokenizer {
  Tokenizer(const SmallVocabulary& small, bool every_byte)
      : model(load_vocabulary(small)), control(std::make_unique<ControlText>(Vocabulary(*model))), spells(every_byte) {}

  LlamaModelPtr model;
  std::unique_ptr<ControlText> control;
  bool spells;  // every byte has a token of its own
};

std::vector<Tokenizer> load_all() {
  std::vector<Tokenizer> all;
  for (const char* splitter :
       {"default",  "deepseek-llm", "deepseek-coder", "deepseek-v3", "youtu",     "falcon", "jais-2",
        "bloom",    "viking",       "tekken",         "exaone-moe",  "chameleon", "gpt-4o", "tiny_aya",
        "superbpe", "bailingmoe",   "afmoe",          "qwen2",       "llama3",    "kimi-k2"}) {
    all.emplace_back(small_bpe(splitter), true);
  }
  all.emplace_back(small_sentencepiece(), false);
  return all;
}

std::string text_of(const uint8_t* data, size_t size) {
  constexpr size_t kMostRead = 96;
  constexpr size_t kMostText = 200;
  constexpr size_t kLongestUnit = 2;
  constexpr size_t kMostRepeated = 4000;
  constexpr uint8_t kOften = 255;
  const std::string rest(reinterpret_cast<const char*>(data + 2), std::min(size - 2, kMostRead));
  const std::string unit = rest.substr(0, rest.size() / 2);
  const bool often = data[1] == kOften && rest.size() <= 2 * kLongestUnit;
  std::string text;
  for (size_t i = 0; i < (often ? kMostRepeated : data[1]) && text.size() < (often ? kMostRepeated : kMostText); ++i) {
    text += unit;
  }
  return text + rest.substr(unit.size());
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
  if (tokenizer.spells && valid_utf8(text) == text && spelled != text) {
    std::abort();
  }
  MaskedText masked(*tokenizer.control);
  const std::string safe = masked.mask(text);
  for (const int32_t token : masked.tokens(safe, false)) {
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
