#include "server/ollama/modelfile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hypura::ollama {
namespace {

using testing::HasSubstr;

TEST(Modelfile, IsReadInstructionByInstruction) {
  const auto file = read_modelfile(
      "# a comment\n"
      "from  qwen3:30b\r\n"
      "\n"
      "SYSTEM \"\"\"\n"
      "You are a pirate.\n"
      "  Say \"arr\".\n"
      "\"\"\"\n"
      "PARAMETER temperature 0.5\n"
      "PARAMETER stop \"<|end|>\"\n"
      "PARAMETER stop USER:\n"
      "PARAMETER num_ctx 4096\n"
      "PARAMETER use_mmap true\n"
      "TEMPLATE \"\"\"{{ .Prompt }}\"\"\"\n"
      "MESSAGE user What?\n"
      "MESSAGE assistant \"\"\"two\nlines\"\"\"\n"
      "LICENSE MIT\n");
  ASSERT_TRUE(file.has_value()) << file.error().message;
  EXPECT_EQ(file->from, "qwen3:30b");
  EXPECT_EQ(file->system, "You are a pirate.\n  Say \"arr\".\n");
  EXPECT_EQ(file->prompt_template, "{{ .Prompt }}");
  EXPECT_EQ(file->license, "MIT");
  EXPECT_EQ(file->parameters,
            Json::parse(R"({"temperature":0.5,"stop":["<|end|>","USER:"],"num_ctx":4096,"use_mmap":true})"));
  EXPECT_EQ(file->messages,
            Json::parse(R"([{"role":"user","content":"What?"},{"role":"assistant","content":"two\nlines"}])"));
  EXPECT_TRUE(check_parameters(file->parameters).has_value());
}

TEST(Modelfile, WhatIsNotSupportedIsRefusedByNameAndLine) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"FROM x\nADAPTER ./lora.gguf\n", "line 2 of the Modelfile: ADAPTER is not supported"},
      {"FRUM x\n", "line 1 of the Modelfile: 'FRUM' is no instruction"},
      {"SYSTEM \"\"\"never\nclosed", "line 1 of the Modelfile: \"\"\" are not closed"},
      {"MESSAGE tool x", "'tool' is no role"},
      {"RENDERER x", "RENDERER is not supported"},
  };
  for (const auto& [text, says] : cases) {
    const auto file = read_modelfile(text);
    ASSERT_FALSE(file.has_value()) << text;
    EXPECT_EQ(file.error().code, ErrorCode::kUsage);
    EXPECT_THAT(file.error().message, HasSubstr(says));
  }
}

TEST(Modelfile, ParametersAreThoseOfRequests) {
  EXPECT_TRUE(check_parameters(Json::parse(R"({"top_k":1,"num_gpu":3})")).has_value());
  EXPECT_THAT(check_parameters(Json::parse(R"({"tfs_z":1})")).error().message, HasSubstr("\"tfs_z\" is not known"));
  EXPECT_FALSE(check_parameters(Json::parse(R"({"seed":"x"})")).has_value());
}

}  // namespace
}  // namespace hypura::ollama
