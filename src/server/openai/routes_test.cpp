#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "server/openai/base64.h"
#include "server/openai/openai_for_test.h"

namespace hypura {
namespace {

using OpenaiRoutesTest = OpenaiTest;

constexpr const char* kStories =
    R"({"id":"stories:latest","object":"model","created":1700000000,"owned_by":"library"})";

TEST_F(OpenaiRoutesTest, ListsModels) {
  EXPECT_EQ(dump_json(json_of(api.call("GET", "/v1/models"))),
            std::string(R"({"object":"list","data":[)") + kStories + "]}");
}

TEST_F(OpenaiRoutesTest, ShowsAModelAsItIsAskedFor) {
  EXPECT_EQ(dump_json(json_of(api.call("GET", "/v1/models/stories:latest"))), kStories);
  EXPECT_EQ(json_of(api.call("GET", "/v1/models/STORIES"))["id"], "STORIES");
  const auto missing = api.call("GET", "/v1/models/a/b:c");
  EXPECT_EQ(missing->status(), 404);
  EXPECT_EQ(json_of(missing)["error"]["message"], "model 'a/b:c' not found");
  EXPECT_EQ(json_of(missing)["error"]["type"], "not_found_error");
}

TEST_F(OpenaiRoutesTest, WhatIsNotOfferedSaysSo) {
  for (const char* path : {"/v1/audio/transcriptions", "/v1/images/generations", "/v1/moderations"}) {
    const auto exchange = api.post(path, "{}");
    ASSERT_NE(exchange, nullptr) << path;
    EXPECT_EQ(exchange->status(), 404);
    const std::string message = json_of(exchange)["error"]["message"];
    EXPECT_EQ(message.substr(0, message.find(':')), std::string(path) + " is not offered");
  }
  EXPECT_EQ(api.call("GET", "/v1/responses/resp_1")->status(), 404);
  EXPECT_EQ(api.call("DELETE", "/v1/models/stories")->status(), 404);
}

TEST_F(OpenaiRoutesTest, EveryPostRefusesABadBodyAndAnUnknownModel) {
  const std::array<std::pair<const char*, const char*>, 4> routes{{
      {"/v1/chat/completions", R"("messages":[{"role":"user","content":"x"}])"},
      {"/v1/completions", R"("prompt":"x")"},
      {"/v1/embeddings", R"("input":"x")"},
      {"/v1/responses", R"("input":"x")"},
  }};
  for (const auto& [path, rest] : routes) {
    expect_error(path, "", 400, "EOF");
    expect_error(path, "{", 400, "unexpected EOF: the JSON ends too early");
    expect_error(path, std::string("{") + rest + "}", 400, "model is required");
    expect_error(path, std::string(R"({"model":"gpt-9",)") + rest + "}", 404, "model 'gpt-9' not found");
  }
}

TEST_F(OpenaiRoutesTest, RefusesACompressedBody) {
  auto exchange = std::make_shared<FakeExchange>("POST", "/v1/responses", "\x28\xb5\x2f\xfd");
  exchange->add_header("content-encoding", "zstd");
  for (const Route& route : openai_routes()) {
    if (route.pattern == "/v1/responses") {
      route.handle(api.context, exchange);
    }
  }
  EXPECT_EQ(exchange->status(), 400);
  EXPECT_EQ(json_of(exchange)["error"]["message"],
            "Content-Encoding \"zstd\" is not supported; send the body uncompressed");
}

TEST_F(OpenaiRoutesTest, RefusesWhatTheModelCannotDo) {
  constexpr const char* path = "/v1/chat/completions";
  constexpr const char* kTools = R"("tools":[{"type":"function","function":{"name":"f"}}])";
  const std::string begin = R"({"model":"stories","messages":[{"role":"user","content":"x"}],)";
  expect_error(path, begin + kTools + "}", 400, "\"stories\" does not support tools");
  expect_error(path, begin + R"("reasoning_effort":"high"})", 400, "\"stories\" does not support thinking");
  expect_error("/v1/completions", R"({"model":"stories","prompt":"x","suffix":"y"})", 400,
               "\"stories\" does not support insert");
  expect_error("/v1/embeddings", R"({"model":"stories","input":"x"})", 400, "\"stories\" does not support embeddings");
  EXPECT_EQ(api.post(path, begin + R"("reasoning_effort":"none"})")->status(), 200);
  EXPECT_EQ(api.post(path, begin + kTools + R"(,"tool_choice":"none"})")->status(), 200);
  EXPECT_TRUE(api.generator().requests.back().tools.empty());
  api.host.card().tools = true;
  EXPECT_EQ(api.post(path, begin + kTools + "}")->status(), 200);
  EXPECT_EQ(api.generator().requests.back().tools.size(), 1U);
}

class CompletionsTest : public OpenaiTest {};

TEST_F(CompletionsTest, AnswersWithOneObject) {
  AnswerPiece first = text_piece("é");
  first.logprobs = {{"é", -1.0F, {{"é", -1.0F}, {"e", -2.0F}}}};
  AnswerPiece second = text_piece("t");
  second.logprobs = {{"t", -0.25F, {}}};
  api.generator().pieces = {first, second};
  api.generator().end.stop = StopReason::kContextFull;
  api.generator().end.prompt_tokens = 3;
  Json json = json_of(api.post("/v1/completions", R"({"model":"stories","prompt":"Once","logprobs":2})"));
  EXPECT_EQ(json["id"].get<std::string>().substr(0, 5), "cmpl-");
  EXPECT_EQ(json["object"], "text_completion");
  EXPECT_EQ(json["usage"]["prompt_tokens"], 3);
  EXPECT_EQ(dump_json(json["choices"]),
            R"([{"text":"ét","index":0,"logprobs":{"tokens":["é","t"],"token_logprobs":[-1.0,-0.25],)"
            R"("top_logprobs":[{"é":-1.0,"e":-2.0},{}],"text_offset":[0,1]},"finish_reason":"length"}])");
}

TEST_F(CompletionsTest, StreamsInOrder) {
  api.generator().pieces = {thought("hm"), text_piece("a"), text_piece("b")};
  api.generator().end.answer_tokens = 2;
  const std::vector<SseEvent> events = events_of(
      api.post("/v1/completions",
               R"({"model":"stories","prompt":"Once","stream":true,"stream_options":{"include_usage":true}})"));
  ASSERT_EQ(events.size(), 5U);
  EXPECT_EQ(events[0].data["choices"][0]["text"], "a");
  EXPECT_EQ(events[0].data["usage"]["total_tokens"], 0);
  EXPECT_EQ(events[1].data["choices"][0]["finish_reason"], nullptr);
  EXPECT_EQ(events[2].data["choices"][0]["text"], "");
  EXPECT_EQ(events[2].data["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(events[3].data["choices"], Json::array());
  EXPECT_EQ(events[3].data["usage"]["completion_tokens"], 2);
  EXPECT_EQ(events[4].text, "[DONE]");
}

TEST_F(CompletionsTest, CommentsWhileNothingIsSaid) {
  api.generator().hold = true;
  const auto exchange = api.post("/v1/completions", R"({"model":"stories","prompt":"Once","stream":true})");
  exchange->quiet();
  EXPECT_TRUE(exchange->streamed());
  EXPECT_EQ(exchange->body(), "") << "a head alone";
  exchange->quiet();
  EXPECT_EQ(exchange->body(), ":\n\n");
  api.generator().play(1);
  EXPECT_TRUE(exchange->done());
}

class EmbeddingsTest : public OpenaiTest {
 protected:
  EmbeddingsTest() { api.host.card().embeddings = true; }

  Json embed(const std::string& fields) {
    return json_of(api.post("/v1/embeddings", R"({"model":"stories",)" + fields + "}"));
  }
};

TEST_F(EmbeddingsTest, VectorsHaveLengthOne) {
  EXPECT_EQ(dump_json(embed(R"("input":["abc","de"],"encoding_format":"float")")),
            R"({"object":"list","data":[{"object":"embedding","embedding":[0.6,0.8],"index":0},)"
            R"({"object":"embedding","embedding":[0.6,0.8],"index":1}],"model":"stories",)"
            R"("usage":{"prompt_tokens":5,"total_tokens":5}})");
  ASSERT_EQ(api.generator().embed_requests.size(), 2U);
  EXPECT_EQ(api.generator().embed_requests[1].text, "de");
}

TEST_F(EmbeddingsTest, TokensAreTakenAsTheyAre) {
  embed(R"("input":[5,6])");
  embed(R"("input":[[7],[8,9]])");
  ASSERT_EQ(api.generator().embed_requests.size(), 3U);
  EXPECT_EQ(api.generator().embed_requests[0].tokens, (std::vector<int32_t>{5, 6}));
  EXPECT_EQ(api.generator().embed_requests[2].tokens, (std::vector<int32_t>{8, 9}));
}

TEST_F(EmbeddingsTest, Base64IsLittleEndian) {
  const Json json = embed(R"("input":"abc","encoding_format":"base64")");
  EXPECT_EQ(json["data"][0]["embedding"], "mpkZP83MTD8=");  // 9a 99 19 3f, cd cc 4c 3f
}

TEST_F(EmbeddingsTest, FewerDimensionsHaveLengthOneToo) {
  EXPECT_EQ(embed(R"("input":"abc","dimensions":1)")["data"][0]["embedding"], Json::array({1.0}));
  EXPECT_EQ(embed(R"("input":"abc","dimensions":9)")["data"][0]["embedding"].size(), 2U);
}

TEST_F(EmbeddingsTest, RefusesWrongFields) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("input":null)", "invalid input"},
      {R"("input":[])", "invalid input"},
      {R"("input":[1,"a"])", "invalid input type: the input must be a string, an array of strings, or tokens"},
      {R"("input":[[]])", "invalid input type: the input must be a string, an array of strings, or tokens"},
      {R"("input":5)", "invalid input"},
      {R"("input":"x","encoding_format":"hex")", "encoding_format \"hex\" is unknown; use float or base64"},
      {R"("input":"x","dimensions":0)", "dimensions must be at least 1"},
  };
  for (const auto& [fields, message] : cases) {
    expect_error("/v1/embeddings", std::string(R"({"model":"stories",)") + fields + "}", 400, message);
  }
}

TEST_F(EmbeddingsTest, AFailureIsAnError) {
  api.generator().embed_refusal = Error{ErrorCode::kIo, "the disk has gone"};
  const auto exchange = api.post("/v1/embeddings", R"({"model":"stories","input":"x"})");
  ASSERT_TRUE(exchange->wait());
  EXPECT_EQ(exchange->status(), 500);
  EXPECT_EQ(json_of(exchange)["error"]["message"], "the disk has gone");
}

TEST(Base64, PadsWhatIsNoMultipleOfThree) {
  EXPECT_EQ(openai::floats_to_base64({}), "");
  EXPECT_EQ(openai::floats_to_base64({1.0F}), "AACAPw==");
  EXPECT_EQ(openai::floats_to_base64({1.0F, -2.0F}), "AACAPwAAAMA=");
  EXPECT_EQ(openai::floats_to_base64({1.0F, -2.0F, 0.5F}), "AACAPwAAAMAAAAA/");
}

TEST_F(OpenaiRoutesTest, APromptThatIsTooLongIsToldAsOpenaiDoes) {
  Error too_long{ErrorCode::kContextFull, "prompt is too long", Overflow{9123, false, 4096}};
  api.generator().refusal = too_long;
  api.host.card().embeddings = true;
  api.generator().embed_refusal = too_long;
  const std::array<std::array<const char*, 3>, 5> routes{{
      {"/v1/chat/completions", R"("messages":[{"role":"user","content":"x"}])", "messages"},
      {"/v1/chat/completions", R"("messages":[{"role":"user","content":"x"}],"stream":true)", "messages"},
      {"/v1/completions", R"("prompt":["x","y"])", "prompt"},
      {"/v1/embeddings", R"("input":"x")", "input"},
      {"/v1/responses", R"("input":"x","stream":true)", "input"},
  }};
  for (const auto& [path, rest, param] : routes) {
    const auto exchange = api.post(path, std::string(R"({"model":"stories",)") + rest + "}");
    EXPECT_EQ(json_of(exchange),
              Json({{"error",
                     {{"message", fmt::format("This model's maximum context length is 4096 tokens. However, your {0} "
                                              "resulted in 9123 tokens. Please reduce the length of the {0}.",
                                              param)},
                      {"type", "invalid_request_error"},
                      {"param", param},
                      {"code", "context_length_exceeded"}}}}))
        << rest;
    EXPECT_EQ(exchange->status(), 400);
  }
  ASSERT_EQ(api.generator().embed_requests.size(), 1U);
  EXPECT_FALSE(api.generator().embed_requests[0].truncate);
}

}  // namespace
}  // namespace hypura
