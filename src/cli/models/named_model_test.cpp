#include "cli/models/named_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/options/refused_for_test.h"
#include "store/catalogue/created.h"
#include "support/environment_for_test.h"
#include "support/fail.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

// A home with a folder of models, and a store of Ollama's with a system prompt.
class NamedModelTest : public testing::Test {
 protected:
  NamedModelTest() {
    model_ = dir_.write("more/small-Q4_0.gguf", "GGUF");
    const std::string a(64, 'a');
    const std::string b(64, 'b');
    blob_ = dir_.write("home/.ollama/models/blobs/sha256-" + a, "GGUF");
    dir_.write("home/.ollama/models/blobs/sha256-" + b, "Be brief.");
    dir_.write("home/.ollama/models/manifests/registry.ollama.ai/library/qwen3/30b",
               R"({"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:)" + a +
                   R"("},{"mediaType":"application/vnd.ollama.image.system","digest":"sha256:)" + b + R"("}]})");
  }

  Result<CommandLine> resolved(std::vector<std::string> words) {
    words.insert(words.end(), {"--models", (dir_.path() / "more").string()});
    auto line = parse_command_line(std::move(words));
    EXPECT_TRUE(line.has_value()) << line.error().message;
    const auto notes = resolve_models(*line);
    if (!notes) {
      return propagate(notes.error());
    }
    return line;
  }

  TempDir dir_;
  EnvironmentVariable home_{"HOME", (dir_.path() / "home").c_str()};
  EnvironmentVariable hub_{"HF_HUB_CACHE", nullptr};
  EnvironmentVariable hf_{"HF_HOME", nullptr};
  EnvironmentVariable caches_{"XDG_CACHE_HOME", nullptr};
  EnvironmentVariable data_{"XDG_DATA_HOME", nullptr};
  EnvironmentVariable ollama_{"OLLAMA_MODELS", nullptr};
  EnvironmentVariable llama_{"LLAMA_CACHE", nullptr};
  fs::path model_;
  fs::path blob_;
};

TEST_F(NamedModelTest, EveryCommandTakesNames) {
  EXPECT_EQ(resolved({"run", "small-Q4_0", "--draft", "qwen3:30b"})->options.engine.model, model_);
  EXPECT_EQ(resolved({"run", "small-Q4_0", "--draft", "qwen3:30b"})->options.engine.draft.model, blob_);
  EXPECT_EQ(resolved({"chat", "qwen3:30b"})->options.engine.model, blob_);
  EXPECT_EQ(resolved({"inspect", "qwen3:30b"})->inspect.model, blob_);
  EXPECT_EQ(resolved({"bench", "qwen3:30b"})->bench.model, blob_);
  EXPECT_EQ(resolved({"repack", "small-Q4_0"})->repack.model, model_);
  EXPECT_THAT(resolved({"serve", "qwen3:30b"})->serve.models, ElementsAre("qwen3:30b")) << "served by its name";
  EXPECT_TRUE(resolved({"run"})->options.engine.model.empty()) << "the demo model";
  EXPECT_EQ(resolved({"run", "./nowhere.gguf"})->options.engine.model, "./nowhere.gguf");
}

TEST_F(NamedModelTest, ASystemPromptIsTakenOver) {
  EXPECT_EQ(resolved({"run", "qwen3:30b"})->options.system, "Be brief.");
  EXPECT_EQ(resolved({"run", "qwen3:30b", "--system", "Be long."})->options.system, "Be long.");
  EXPECT_EQ(resolved({"run", "qwen3:30b", "--raw"})->options.system, std::nullopt);
}

TEST_F(NamedModelTest, ACreatedModelsTemplateIsUsed) {
  const auto data = model_places({}).data;
  ASSERT_TRUE(data);
  const ModelPreset preset{"", "", "", "{{ .Prompt }}"};
  ASSERT_TRUE(save_created(*data, {"turns:latest", "qwen3:30b", "", preset, ""}));
  EXPECT_EQ(resolved({"run", "turns"})->options.engine.chat_template, "{{ .Prompt }}");
  EXPECT_EQ(resolved({"run", "turns"})->options.system, "Be brief.");
  EXPECT_EQ(resolved({"run", "turns", "--raw"})->options.engine.chat_template, "");
  const std::string other = dir_.write("other.jinja", "{{ messages }}").string();
  EXPECT_EQ(resolved({"chat", "turns", "--chat-template", other})->options.engine.chat_template, "{{ messages }}");
}

TEST_F(NamedModelTest, WhatIsNotHereIsFetchedOnlyWhereThatIsAllowed) {
  const EnvironmentVariable offline("HF_HUB_OFFLINE", "1");
  for (const char* command : {"run", "chat", "bench"}) {
    const auto missing = resolved({command, "hf.co/o/r:Q8_0", "--yes"});
    ASSERT_FALSE(missing.has_value()) << command;
    EXPECT_EQ(missing.error().code, ErrorCode::kUsage);
    EXPECT_THAT(missing.error().message, HasSubstr("HF_HUB_OFFLINE"));
  }
  EXPECT_THAT(resolved({"repack", "hf.co/o/r:Q8_0"}).error().message, HasSubstr("`hypura pull hf.co/o/r:Q8_0`"));
  EXPECT_TRUE(resolved({"inspect", "hf.co/o/r:Q8_0"})->inspect.remote) << "looked at from afar";
  EXPECT_FALSE(resolved({"inspect", "qwen3:30b"})->inspect.remote);
}

TEST_F(NamedModelTest, NothingIsWrittenIntoAStore) {
  const auto refused = resolved({"repack", "qwen3:30b"});
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().message, HasSubstr("lies in a store (Ollama)"));
}

TEST(ModelsOptionsTest, AreRead) {
  EXPECT_EQ(parse_command_line({"list"})->action, CommandLine::Action::kModels);
  EXPECT_EQ(parse_command_line({"list"})->models.what, ModelsOptions::What::kList);
  EXPECT_TRUE(parse_command_line({"ls", "--json"})->models.json);
  EXPECT_EQ(parse_command_line({"show", "x"})->models.what, ModelsOptions::What::kShow);
  EXPECT_EQ(parse_command_line({"rm", "x"})->models.what, ModelsOptions::What::kRemove);
  EXPECT_EQ(parse_command_line({"rm", "x"})->models.name, "x");
  EXPECT_TRUE(parse_command_line({"serve", "x", "--catalogue"})->serve.catalogue);
  expect_refused({{"rm"}, {"MODEL"}});
  expect_refused({{"list", "--models", "/nowhere/at/all"}, {"--models", "is not a folder"}});
}

}  // namespace
}  // namespace hypura
