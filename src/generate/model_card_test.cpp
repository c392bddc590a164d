#include "generate/model_card.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "llama/model_with_template_for_test.h"
#include "llama/models_for_test.h"
#include "make_model/make_model.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

TEST(ModelCard, SaysWhatTheHeadersSay) {
  const auto path = kModels / "hypura-stories-moe.gguf";
  const auto card = read_model_card(path);
  ASSERT_TRUE(card) << card.error().message;
  EXPECT_EQ(card->name, "hypura-stories-moe");
  EXPECT_EQ(card->architecture, "qwen3moe");
  EXPECT_EQ(card->parameter_size, "83.7M");
  EXPECT_EQ(card->quantization, "Q4_0");
  EXPECT_EQ(card->bytes, std::filesystem::file_size(path));
  EXPECT_GT(card->modified, 1600000000);
  EXPECT_EQ(card->trained_context, 1024U);
  EXPECT_EQ(card->embedding_length, 512U);
  EXPECT_NE(card->chat_template.find("<|im_start|>"), std::string::npos);
  EXPECT_TRUE(card->tools);
  EXPECT_FALSE(card->thinking);
  EXPECT_TRUE(card->embeddings);
  const auto metadata = nlohmann::json::parse(card->metadata, nullptr, false);
  ASSERT_TRUE(metadata.is_object());
  EXPECT_EQ(metadata["general.architecture"], "qwen3moe");
  EXPECT_EQ(metadata["qwen3moe.expert_count"], 32);
  EXPECT_EQ(metadata["tokenizer.ggml.tokens"].size(), 8192U);
  EXPECT_EQ(metadata["tokenizer.chat_template"], card->chat_template);
}

TEST(ModelCard, KnowsAModelThatThinks) {
  const TempDir folder;
  const auto path = folder.path() / "thinking.gguf";
  ASSERT_TRUE(write_with_template(kModels / "hypura-stories-draft.gguf", path, kThinkingTemplate, true));
  const auto card = read_model_card(path);
  ASSERT_TRUE(card) << card.error().message;
  EXPECT_TRUE(card->thinking);
  EXPECT_FALSE(card->tools);
}

TEST(ModelCard, ATemplateThatCannotBeUsedIsNoHarm) {
  const TempDir folder;
  const auto path = folder.path() / "broken.gguf";
  for (const std::string& text :
       {std::string("{% if %}{{"), std::string("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
        std::string("{{ 'x' * 10000000000 }}"), "{{ " + std::string(100000, '(')}) {
    ASSERT_TRUE(write_with_template(kModels / "hypura-stories-draft.gguf", path, text, true));
    const auto card = read_model_card(path);
    ASSERT_TRUE(card) << card.error().message;
    EXPECT_FALSE(card->tools);
    EXPECT_FALSE(card->thinking);
  }
}

TEST(ModelCard, ASplitModelIsCalledWithoutItsNumbers) {
  const TempDir folder;
  ModelSpec spec;
  spec.arch = "dense";
  spec.type = "Q8_0";
  spec.split = 3;
  spec.output = folder.path() / "Some Model.gguf";
  const auto path = make_model(spec);
  ASSERT_TRUE(path) << path.error().message;
  const auto card = read_model_card(*path);
  ASSERT_TRUE(card) << card.error().message;
  EXPECT_EQ(card->name, "Some Model");
  EXPECT_EQ(card->quantization, "Q8_0");
}

TEST(ModelCard, FailsWhereThereIsNoModel) {
  EXPECT_EQ(read_model_card("/no/such/model.gguf").error().code, ErrorCode::kIo);
}

TEST(ShortCount, IsAsModelsAreNamed) {
  EXPECT_EQ(short_count(83'689'472), "83.7M");
  EXPECT_EQ(short_count(8'030'261'248), "8.0B");
  EXPECT_EQ(short_count(999'950'000), "1.0B");
  EXPECT_EQ(short_count(1'500), "1.5K");
  EXPECT_EQ(short_count(7), "7");
}

}  // namespace
}  // namespace hypura
