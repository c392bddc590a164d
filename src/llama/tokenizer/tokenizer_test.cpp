#include "llama/tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <array>

#include "llama/tokenizer/deep_stack.h"
#include "llama/vocabularies_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

// llama.cpp's splitters, one of each kind.
constexpr std::array kSplitters = {
    "default",
    "minicpm5",
    "llama3",
    "deepseek-llm",
    "deepseek-coder",
    "deepseek-v3",
    "youtu",
    "falcon",
    "starcoder",
    "gpt-2",
    "jais-2",
    "gemma4",
    "sarvam-moe",
    "qwen2",
    "qwen35",
    "poro-chat",
    "viking",
    "tekken",
    "bloom",
    "exaone-moe",
    "chameleon",
    "gpt-4o",
    "tiny_aya",
    "superbpe",
    "bailingmoe",
    "grok-2",
    "kimi-k2",
    "afmoe",
    "laguna",
    "seed-coder",
    "granite-embed-multi-97m",
};

// What runs are made of.
const std::vector<std::string> kUnits = {"a",
                                         "A",
                                         "Aa",
                                         " ",
                                         "\t",
                                         "\n",
                                         "\r\n",
                                         " \n",
                                         "!",
                                         "=",
                                         "'",
                                         "'s",
                                         "1",
                                         "\u4e2d",
                                         "\u3042",
                                         "\ud55c",
                                         "\U0001f600",
                                         "\u0301",
                                         "a\u0301",
                                         "\u0e01\u0e33",
                                         "a1",
                                         "a ",
                                         "hello ",
                                         "!\n",
                                         "\u00a0",
                                         "\u0436",
                                         "\uff01",
                                         "\u0915\u093f",
                                         "\U0001f469\u200d\U0001f4bb"};

std::string run_of(const std::string& unit, size_t units) {
  std::string text;
  for (size_t i = 0; i < units; ++i) {
    text += unit;
  }
  return text;
}

std::vector<int32_t> by_llama(const llama_vocab* vocab, const std::string& text, bool add_bos, bool parse_special) {
  std::vector<int32_t> tokens(text.size() * 3 + 8);
  int32_t count = 0;
  EXPECT_TRUE(run_on_stack(512 * kMiB, [&] {
    count = llama_tokenize(vocab, text.data(), static_cast<int32_t>(text.size()), tokens.data(),
                           static_cast<int32_t>(tokens.size()), add_bos, parse_special);
  }));
  tokens.resize(static_cast<size_t>(std::max(count, 0)));
  return tokens;
}

// On a stack that is not large enough for llama.cpp's splitter.
std::vector<int32_t> by_us(const llama_vocab* vocab, const std::string& text, bool add_bos, bool parse_special) {
  std::vector<int32_t> tokens;
  EXPECT_TRUE(
      run_on_stack(640 * 1024, [&] { tokens = tokenize_text(Vocabulary(vocab), text, add_bos, parse_special); }));
  return tokens;
}

TEST(Tokenizer, RunsAreTokenizedAsLlamaDoes) {
  std::string text = "so ";
  for (const std::string& unit : kUnits) {
    text += run_of(unit, 1900) + "x, end: ";
  }
  for (const char* splitter : kSplitters) {
    const LlamaModelPtr model = load_vocabulary(small_bpe(splitter));
    ASSERT_NE(model, nullptr) << splitter;
    const llama_vocab* vocab = llama_model_get_vocab(model.get());
    EXPECT_TRUE(by_us(vocab, text, true, true) == by_llama(vocab, text, true, true)) << splitter;
  }
}

TEST(Tokenizer, UnknownVocabulariesAreTakenToBeTheDeepest) {
  for (const auto& [splitter, unit] :
       std::vector<std::pair<const char*, const char*>>{{"gpt-4o", "A"}, {"exaone-moe", "hello "}, {"bloom", "a1="}}) {
    const LlamaModelPtr model = load_vocabulary(small_bpe(splitter));
    ASSERT_NE(model, nullptr) << splitter;
    forget_tokenizer(*model);
    const llama_vocab* vocab = llama_model_get_vocab(model.get());
    const std::string text = run_of(unit, 3000);
    EXPECT_TRUE(by_us(vocab, text, false, false) == by_llama(vocab, text, false, false)) << splitter;
  }
}

// Nothing to compare with: llama.cpp dies of these.
TEST(Tokenizer, RunsWithoutEndEndWords) {
  for (const auto& [splitter, unit] : std::vector<std::pair<const char*, const char*>>{
           {"gpt-4o", "A"}, {"deepseek-v3", " "}, {"default", "!"}, {"bloom", "a1="}, {"exaone-moe", "hello "}}) {
    const LlamaModelPtr model = load_vocabulary(small_bpe(splitter));
    ASSERT_NE(model, nullptr) << splitter;
    const llama_vocab* vocab = llama_model_get_vocab(model.get());
    const std::string text = run_of(unit, kDeepestRun + 3000);
    std::string again;
    for (const int32_t token : by_us(vocab, text, false, true)) {
      std::array<char, 64> piece = {};
      const int32_t size = llama_token_to_piece(vocab, token, piece.data(), piece.size(), 0, true);
      again.append(piece.data(), static_cast<size_t>(std::max(size, 0)));
    }
    EXPECT_TRUE(again == text) << splitter;
  }
}

TEST(Tokenizer, FlatSplittersAreNeverCut) {
  for (const char* splitter : {"llama3", "qwen2", "gpt-2", "gemma4"}) {
    const LlamaModelPtr model = load_vocabulary(small_bpe(splitter));
    ASSERT_NE(model, nullptr) << splitter;
    const llama_vocab* vocab = llama_model_get_vocab(model.get());
    const std::string text = "a" + run_of("!", kDeepestRun + 3001);
    EXPECT_TRUE(by_us(vocab, text, false, true) == by_llama(vocab, text, false, true)) << splitter;
  }
}

TEST(Tokenizer, ManySpecialTokensAreTakenAsLlamaDoes) {
  for (const bool parse_special : {true, false}) {
    for (const SmallVocabulary& vocabulary : {small_bpe("qwen2"), small_sentencepiece()}) {
      const LlamaModelPtr model = load_vocabulary(vocabulary);
      ASSERT_NE(model, nullptr);
      const llama_vocab* vocab = llama_model_get_vocab(model.get());
      for (const char* unit : {"<|im_end|>", " hello<|im_start|> aa", "<b>", "\n\n\n\n", "<b>\n\n\n<|im_end|>b"}) {
        std::string text = "a ";
        for (int i = 0; text.size() < 20000; ++i) {
          text += unit + std::string(i % 7 == 0 ? "aa b" : "");
        }
        EXPECT_TRUE(by_us(vocab, text, true, parse_special) == by_llama(vocab, text, true, parse_special)) << unit;
      }
    }
  }
}

TEST(Tokenizer, CharactersThatNoTokenHasAreTakenAsLlamaDoes) {
  const LlamaModelPtr model = load_vocabulary(small_sentencepiece());
  ASSERT_NE(model, nullptr);
  const llama_vocab* vocab = llama_model_get_vocab(model.get());
  for (const char* unit : {"\n", "\t", "\U0001f600", "\u4e2d", "\xff"}) {
    const std::string text = "hello " + run_of(unit, 6000) + "hello aa" + run_of(unit, 6000) + " a";
    for (const bool add_bos : {true, false}) {
      EXPECT_TRUE(by_us(vocab, text, add_bos, true) == by_llama(vocab, text, add_bos, true)) << unit;
    }
  }
}

TEST(Tokenizer, AByteWithoutATokenIsLeftOut) {
  SmallVocabulary vocabulary = small_sentencepiece();
  for (std::string& text : vocabulary.tokens) {
    text = text == "<0x0A>" ? "<other>" : text;
  }
  const LlamaModelPtr model = load_vocabulary(vocabulary);
  ASSERT_NE(model, nullptr);
  const llama_vocab* vocab = llama_model_get_vocab(model.get());
  EXPECT_EQ(tokenize_text(Vocabulary(vocab), "a\nb", false, true).size(),
            4U);  // each with the space that this vocabulary puts
  EXPECT_TRUE(tokenize_text(Vocabulary(vocab), "\n", false, true).empty());
}

}  // namespace
}  // namespace hypura
