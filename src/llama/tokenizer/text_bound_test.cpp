#include "llama/tokenizer/text_bound.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "llama/tokenizer/control_text.h"
#include "llama/vocabulary_for_test.h"

namespace hypura {
namespace {

std::string repeated(const std::string& text, size_t bytes) {
  std::string all;
  while (all.size() < bytes) {
    all += text;
  }
  return all;
}

const std::vector<std::string> kTexts = {
    "Once upon a time, there was a little rabbit who lived in the forest. ",
    "for (int i = 0; i < 1000000; ++i) { total += values[i] * 31; }\n",
    "12345678901234567890 ",
    "             \n\n\n\t\t\t\t                          x",
    "================================ -------------------------- ",
    "Die Größe läßt sich häufig nicht ändern. ",
    "昔々、あるところにおじいさんとおばあさんが住んでいました。",
    "\xF0\x9F\x98\x80\xF0\x9F\x98\x80 \xD0\x9F\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82 ",
    "antidisestablishmentarianism supercalifragilisticexpialidocious ",
};

class TextBoundTest : public VocabularyTest {};

TEST_F(TextBoundTest, NeverSaysMoreThanThereIs) {
  const TextBound bound(vocab_);
  for (const std::string& text : kTexts) {
    const std::string all = repeated(text, 3000);
    EXPECT_LE(bound.least_tokens(all), tokenize_text(vocab_, all, false, false).size()) << text;
  }
  EXPECT_EQ(bound.least_tokens(""), 0U);
  EXPECT_EQ(bound.least_tokens(std::string(1000, ' ')), 0U);
  EXPECT_GT(bound.least_tokens(repeated(kTexts[0], 100000)), 4000U);
}

// Of all kinds of tokenizers. The vocabularies come with llama.cpp's sources.
TEST_F(TextBoundTest, NeverSaysMoreThanThereIsForAnyVocabulary) {
  const auto folder = std::filesystem::path(HYPURA_SOURCE_DIR) / "deps/llama.cpp/models";
  for (const char* name : {"llama-spm", "phi-3", "gpt-2", "qwen2", "deepseek-llm", "falcon", "bert-bge"}) {
    const auto path = folder / (std::string("ggml-vocab-") + name + ".gguf");
    if (!std::filesystem::exists(path)) {
      GTEST_SKIP() << "llama.cpp's vocabularies are not there";
    }
    llama_model_params params = llama_model_default_params();
    params.vocab_only = true;
    const LlamaModelPtr model(llama_model_load_from_file(path.c_str(), params));
    ASSERT_NE(model, nullptr) << name;
    const Vocabulary vocab(*model);
    const TextBound bound(vocab);
    for (const std::string& text : kTexts) {
      const std::string all = repeated(text, 1500);
      EXPECT_LE(bound.least_tokens(all), tokenize_text(vocab, all, false, true).size()) << name << ": " << text;
    }
    const bool known = std::string(name) != "bert-bge";
    EXPECT_EQ(bound.least_tokens(repeated(kTexts[0], 20000)) > 100, known) << name;
  }
}

TEST_F(TextBoundTest, WhatIsFarTooLongIsEstimated) {
  const TextBound bound(vocab_);
  for (const size_t which : {0U, 1U, 6U}) {
    const std::string all = repeated(kTexts[which], 300000);
    const auto tokens = static_cast<double>(tokenize_text(vocab_, all, false, false).size());
    const uint64_t estimate = estimate_if_beyond(bound, vocab_, all, 256);
    EXPECT_NEAR(static_cast<double>(estimate) / tokens, 1, 0.1) << kTexts[which];
    EXPECT_EQ(estimate_if_beyond(bound, vocab_, all, all.size()), 0U) << "it fits";
    EXPECT_EQ(estimate_if_beyond(bound, vocab_, all.substr(0, 50000), 256), 0U) << "counting is quick";
  }
}

TEST_F(TextBoundTest, PartsOfATextHaveWholeCharacters) {
  const std::string text = "aé\xF0\x9F\x98\x80z";
  for (size_t bytes = 0; bytes <= text.size() + 1; ++bytes) {
    for (const std::string_view part : {beginning_of(text, bytes), end_of(text, bytes)}) {
      EXPECT_LE(part.size(), bytes);
      EXPECT_TRUE(part.empty() || (static_cast<unsigned char>(part.front()) & 0xC0U) != 0x80U) << bytes;
    }
  }
  EXPECT_EQ(beginning_of(text, 3), "aé");
  EXPECT_EQ(beginning_of(text, 6), "aé");
  EXPECT_EQ(end_of(text, 4), "z");
  EXPECT_EQ(end_of(text, 5), "\xF0\x9F\x98\x80z");
}

TEST_F(TextBoundTest, TheEndOfATextHasItsLastTokens) {
  const std::string all = repeated(kTexts[0], 50000);
  const std::vector<int32_t> tokens = tokenize_text(vocab_, all, false, false);
  double share = 0;
  const std::vector<int32_t> end = tokenize_end(vocab_, all, 100, false, share);
  ASSERT_GE(end.size(), 100U);
  EXPECT_LT(share, 0.1);
  EXPECT_NEAR(static_cast<double>(end.size()) / share / static_cast<double>(tokens.size()), 1, 0.1);
  EXPECT_TRUE(std::equal(end.end() - 100, end.end(), tokens.end() - 100));
  EXPECT_EQ(tokenize_end(vocab_, "Once upon", 100, false, share), tokenize_text(vocab_, "Once upon", false, false));
  EXPECT_EQ(share, 1);
}

}  // namespace
}  // namespace hypura
