// For tests: the vocabulary of a small model, without its weights.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>

#include "llama.h"
#include "llama/llama_context.h"
#include "llama/llama_runtime.h"
#include "llama/vocabulary.h"

namespace hypura {

class VocabularyTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(init_llama());
    llama_model_params params = llama_model_default_params();
    params.vocab_only = true;
    const auto path = std::filesystem::path(HYPURA_SOURCE_DIR) / "models" / "hypura-stories-draft.gguf";
    model_.reset(llama_model_load_from_file(path.c_str(), params));
    ASSERT_NE(model_, nullptr);
    vocab_ = Vocabulary(*model_);
  }

  LlamaModelPtr model_;
  Vocabulary vocab_{nullptr};
};

}  // namespace hypura
