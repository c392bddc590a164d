#include "server/ollama/options.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace hypura::ollama {
namespace {

AnswerRequest applied(const std::string& text, uint32_t server_context = 4096) {
  const Json json = parse_json(text).value();
  const Result<Options> options = read_options(&json);
  AnswerRequest request;
  EXPECT_TRUE(options) << text;
  if (options) {
    apply(*options, server_context, request);
  }
  return request;
}

TEST(OllamaOptions, DefaultsAreOllamas) {
  for (const AnswerRequest& request : {applied("{}"), applied(R"({"temperature":null,"stop":null,"num_ctx":null})")}) {
    EXPECT_EQ(request.sampling.temperature, 0.8F);
    EXPECT_EQ(request.sampling.top_k, 40);
    EXPECT_EQ(request.sampling.top_p, 0.9F);
    EXPECT_EQ(request.sampling.min_p, 0.0F);
    EXPECT_EQ(request.sampling.typical_p, 1.0F);
    EXPECT_EQ(request.sampling.repeat_penalty, 1.0F);
    EXPECT_EQ(request.sampling.presence_penalty, 0.0F);
    EXPECT_EQ(request.sampling.frequency_penalty, 0.0F);
    EXPECT_EQ(request.sampling.repeat_last_n, 64);
    EXPECT_EQ(request.sampling.seed, std::nullopt);
    EXPECT_EQ(request.keep, 4U);
    EXPECT_EQ(request.context_tokens, 0U);
    EXPECT_EQ(request.max_tokens, 40'960);
    EXPECT_TRUE(request.stop.empty());
  }
}

TEST(OllamaOptions, SetWhatTheySay) {
  const AnswerRequest request = applied(
      R"({"temperature":0.5,"top_k":7,"top_p":0.25,"min_p":0.125,"typical_p":0.75,"repeat_penalty":1.5,
          "presence_penalty":-1,"frequency_penalty":2,"repeat_last_n":-1,"seed":42,"num_keep":9,"num_ctx":1024,
          "num_predict":12,"stop":["\n","","END"]})");
  EXPECT_EQ(request.sampling.temperature, 0.5F);
  EXPECT_EQ(request.sampling.top_k, 7);
  EXPECT_EQ(request.sampling.top_p, 0.25F);
  EXPECT_EQ(request.sampling.min_p, 0.125F);
  EXPECT_EQ(request.sampling.typical_p, 0.75F);
  EXPECT_EQ(request.sampling.repeat_penalty, 1.5F);
  EXPECT_EQ(request.sampling.presence_penalty, -1.0F);
  EXPECT_EQ(request.sampling.frequency_penalty, 2.0F);
  EXPECT_EQ(request.sampling.repeat_last_n, -1);
  EXPECT_EQ(request.sampling.seed, 42U);
  EXPECT_EQ(request.keep, 9U);
  EXPECT_EQ(request.context_tokens, 1024U);
  EXPECT_EQ(request.max_tokens, 12);
  EXPECT_EQ(request.stop, (std::vector<std::string>{"\n", "END"}));
}

TEST(OllamaOptions, IntegersAreCutOffAndKeptInRange) {
  EXPECT_EQ(applied(R"({"top_k":7.9})").sampling.top_k, 7);
  EXPECT_EQ(applied(R"({"top_k":-1e300})").sampling.top_k, std::numeric_limits<int32_t>::min());
  EXPECT_EQ(applied(R"({"top_k":18446744073709551615})").sampling.top_k, std::numeric_limits<int32_t>::max());
  EXPECT_EQ(applied(R"({"num_keep":-5})").keep, 0U);
  EXPECT_EQ(applied(R"({"seed":-1})").sampling.seed, std::nullopt);
  EXPECT_EQ(applied(R"({"seed":0})").sampling.seed, 0U);
  EXPECT_EQ(applied(R"({"temperature":-1})").sampling.temperature, 0.0F);
  EXPECT_EQ(applied(R"({"repeat_penalty":1e300})").sampling.repeat_penalty, std::numeric_limits<float>::max());
}

TEST(OllamaOptions, AnAnswerIsBoundedByTenContexts) {
  EXPECT_EQ(applied(R"({"num_predict":-1})", 100).max_tokens, 1000);
  EXPECT_EQ(applied(R"({"num_predict":-2})", 100).max_tokens, 1000);
  EXPECT_EQ(applied(R"({"num_predict":0})", 100).max_tokens, 0);
  EXPECT_EQ(applied(R"({"num_predict":999999})", 100).max_tokens, 1000);
  EXPECT_EQ(applied(R"({"num_ctx":50})", 100).max_tokens, 500);
  EXPECT_EQ(applied(R"({"num_ctx":5000})", 100).max_tokens, 1000);
  EXPECT_EQ(applied("{}", std::numeric_limits<uint32_t>::max()).max_tokens, std::numeric_limits<int32_t>::max());
}

TEST(OllamaOptions, AContextHasAtLeastFourTokens) {
  EXPECT_EQ(applied(R"({"num_ctx":1})").context_tokens, 4U);
  EXPECT_EQ(applied(R"({"num_ctx":0})").context_tokens, 0U);
  EXPECT_EQ(applied(R"({"num_ctx":-8})").context_tokens, 0U);
}

TEST(OllamaOptions, UnknownAndUselessOnesAreIgnored) {
  const AnswerRequest request = applied(
      R"({"mirostat":"x","tfs_z":[],"numa":1,"penalize_newline":true,"anything":{},
          "num_batch":512,"num_gpu":-1,"main_gpu":0,"use_mmap":true,"num_thread":4,"draft_num_predict":4})");
  EXPECT_EQ(request.sampling.temperature, 0.8F);
}

TEST(OllamaOptions, TellWhichOneHasAWrongType) {
  const std::vector<std::pair<std::string, std::string>> table = {
      {R"({"num_predict":"5"})", R"(option "num_predict" must be of type integer)"},
      {R"({"seed":true})", R"(option "seed" must be of type integer)"},
      {R"({"num_thread":[]})", R"(option "num_thread" must be of type integer)"},
      {R"({"temperature":"hot"})", R"(option "temperature" must be of type float32)"},
      {R"({"use_mmap":1})", R"(option "use_mmap" must be of type boolean)"},
      {R"({"stop":"END"})", R"(option "stop" must be of type array)"},
      {R"({"stop":["END",1]})", R"(option "stop" must be of an array of strings)"},
  };
  for (const auto& [text, message] : table) {
    const Json json = parse_json(text).value();
    const Result<Options> options = read_options(&json);
    ASSERT_FALSE(options) << text;
    EXPECT_EQ(options.error().code, ErrorCode::kUsage);
    EXPECT_EQ(options.error().message, message);
  }
}

}  // namespace
}  // namespace hypura::ollama
