// For tests: the chat templates that llama.cpp's bundle holds, each as a model's own.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "chat.h"
#include "chat/chat_format.h"
#include "llama.h"
#include "llama/llama_context.h"
#include "llama/llama_runtime.h"
#include "llama/model_with_template_for_test.h"
#include "support/temp_dir_for_test.h"

namespace hypura {

inline std::vector<std::filesystem::path> bundled_templates() {
  std::vector<std::filesystem::path> paths;
  const auto folder = std::filesystem::path(HYPURA_SOURCE_DIR) / "deps" / "llama.cpp" / "models" / "templates";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".jinja") {
      paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// A vocabulary with a chat template.
struct TemplatedModel {
  explicit TemplatedModel(const std::string& chat_template) {
    EXPECT_TRUE(init_llama());
    const TempDir folder;
    const auto vocabulary = std::filesystem::path(HYPURA_SOURCE_DIR) / "models" / "hypura-stories-draft.gguf";
    const auto path = folder.path() / "templated.gguf";
    EXPECT_TRUE(write_with_template(vocabulary, path, chat_template, false));
    llama_model_params params = llama_model_default_params();
    params.vocab_only = true;
    model.reset(llama_model_load_from_file(path.c_str(), params));
    if (model != nullptr) {
      prompt = std::make_unique<ChatPrompt>(*model);
      format = std::make_unique<ChatFormat>(*prompt);
      tools = template_abilities(prompt->templates()).tools;
    }
    EXPECT_NE(model, nullptr);
  }

  static TemplatedModel of_file(const std::filesystem::path& path) {
    std::ifstream file(path);
    return TemplatedModel(std::string(std::istreambuf_iterator<char>(file), {}));
  }

  LlamaModelPtr model;
  std::unique_ptr<ChatPrompt> prompt;
  std::unique_ptr<ChatFormat> format;
  bool tools = false;
};

}  // namespace hypura
