#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "server/openai/openai_for_test.h"

namespace hypura {
namespace {

constexpr const char* kCompletionsPath = "/v1/chat/completions";
constexpr const char* kCompletionsHello = R"({"model":"Stories","messages":[{"role":"user","content":"Hi"}]})";
constexpr const char* kCompletionsStream =
    R"({"model":"stories","messages":[{"role":"user","content":"Hi"}],"stream":true,"logprobs":true})";
constexpr const char* kCompletionsStreamUsage =
    R"({"model":"stories","messages":[{"role":"user","content":"Hi"}],"stream":true,
        "stream_options":{"include_usage":true}})";

class ChatCompletionsTest : public OpenaiTest {
 protected:
  void set_usage() {
    api.generator().end.prompt_tokens = 11;
    api.generator().end.cached_prompt_tokens = 4;
    api.generator().end.answer_tokens = 7;
    api.generator().end.thinking_tokens = 3;
  }

  // The deltas of a stream whose chunks all have the same first fields, up to the one with the reason.
  static std::vector<Json> deltas_of(const std::vector<SseEvent>& events) {
    std::vector<Json> deltas;
    for (const SseEvent& event : events) {
      EXPECT_EQ(event.name, "");
      if (event.text == "[DONE]" || event.data["choices"].empty()) {
        continue;
      }
      EXPECT_EQ(event.data["id"], events[0].data["id"]);
      EXPECT_EQ(event.data["created"], events[0].data["created"]);
      EXPECT_EQ(event.data["object"], "chat.completion.chunk");
      EXPECT_EQ(event.data["choices"][0]["index"], 0);
      deltas.push_back(event.data["choices"][0]["delta"]);
    }
    return deltas;
  }
};

TEST_F(ChatCompletionsTest, AnswersWithOneObject) {
  api.generator().pieces = {text_piece("Hel"), text_piece("lo")};
  set_usage();
  Json json = json_of(api.post(kCompletionsPath, kCompletionsHello));
  const std::string id = json["id"];
  EXPECT_EQ(id.substr(0, 9), "chatcmpl-");
  EXPECT_GT(json["created"], 1'700'000'000);
  json.erase("id");
  json.erase("created");
  EXPECT_EQ(dump_json(json),
            R"({"object":"chat.completion","model":"Stories","system_fingerprint":"fp_hypura","choices":[{"index":0,)"
            R"("message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],)"
            R"("usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18,)"
            R"("prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":3}}})");
}

TEST_F(ChatCompletionsTest, StreamsInOrder) {
  api.generator().pieces = {text_piece("Hel"), text_piece("lo")};
  api.generator().end.stop = StopReason::kLength;
  const std::vector<SseEvent> events = events_of(api.post(kCompletionsPath, kCompletionsStream));
  ASSERT_EQ(events.size(), 5U);
  const std::vector<Json> deltas = deltas_of(events);
  ASSERT_EQ(deltas.size(), 4U);
  EXPECT_EQ(deltas[0], Json({{"role", "assistant"}, {"content", ""}}));
  EXPECT_EQ(deltas[1], Json({{"content", "Hel"}}));
  EXPECT_EQ(deltas[2], Json({{"content", "lo"}}));
  EXPECT_EQ(deltas[3], Json::object());
  EXPECT_EQ(events[2].data["choices"][0]["finish_reason"], nullptr);
  EXPECT_EQ(events[3].data["choices"][0]["finish_reason"], "length");
  for (const SseEvent& event : events) {
    EXPECT_FALSE(event.data.contains("usage")) << event.text;
  }
  EXPECT_EQ(events[4].text, "[DONE]");
}

TEST_F(ChatCompletionsTest, UsageComesInAChunkOfItsOwn) {
  api.generator().pieces = {text_piece("Hello")};
  set_usage();
  const std::vector<SseEvent> events = events_of(api.post(kCompletionsPath, kCompletionsStreamUsage));
  ASSERT_EQ(events.size(), 5U);
  EXPECT_EQ(events[2].data["choices"][0]["finish_reason"], "stop");
  EXPECT_FALSE(events[2].data.contains("usage"));
  EXPECT_EQ(events[3].data["choices"], Json::array());
  EXPECT_EQ(events[3].data["usage"]["total_tokens"], 18);
  EXPECT_EQ(events[3].data["usage"]["completion_tokens_details"]["reasoning_tokens"], 3);
  EXPECT_EQ(events[3].data["id"], events[0].data["id"]);
  EXPECT_EQ(events[4].text, "[DONE]");
}

TEST_F(ChatCompletionsTest, CommentsWhileNothingIsSaid) {
  api.generator().hold = true;
  api.generator().pieces = {text_piece("Hello")};
  const auto exchange = api.post(kCompletionsPath, kCompletionsStream);
  exchange->quiet();
  exchange->quiet();
  api.generator().play(1);
  ASSERT_GE(exchange->pieces().size(), 3U);
  EXPECT_NE(exchange->pieces()[0].find(R"("role":"assistant")"), std::string::npos);
  EXPECT_EQ(exchange->pieces()[1], ":\n\n");
  EXPECT_NE(exchange->pieces()[2].find("Hello"), std::string::npos);
}

TEST_F(ChatCompletionsTest, AnEmptyAnswerIsAWholeStream) {
  const std::vector<SseEvent> events = events_of(api.post(kCompletionsPath, kCompletionsStream));
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(deltas_of(events)[0]["role"], "assistant");
  EXPECT_EQ(events[1].data["choices"][0]["finish_reason"], "stop");
}

TEST_F(ChatCompletionsTest, ReasoningIsApart) {
  api.generator().pieces = {thought("hm"), text_piece("Hello")};
  EXPECT_EQ(json_of(api.post(kCompletionsPath, kCompletionsHello))["choices"][0]["message"],
            Json({{"role", "assistant"}, {"content", "Hello"}, {"reasoning", "hm"}}));
  const std::vector<Json> deltas = deltas_of(events_of(api.post(kCompletionsPath, kCompletionsStream)));
  ASSERT_EQ(deltas.size(), 4U);
  EXPECT_EQ(deltas[1], Json({{"reasoning", "hm"}}));
  EXPECT_EQ(deltas[2], Json({{"content", "Hello"}}));
}

TEST_F(ChatCompletionsTest, ToolCallsComeWholeAndCounted) {
  api.generator().pieces = {call_piece("call_1", "weather", R"({"city":"Bern"})"), call_piece("", "time", "{}")};
  const std::vector<SseEvent> events = events_of(api.post(kCompletionsPath, kCompletionsStream));
  const std::vector<Json> deltas = deltas_of(events);
  ASSERT_EQ(deltas.size(), 4U);
  const Json calls = parse_json(R"([{"id":"call_1","index":0,"type":"function",
      "function":{"name":"weather","arguments":"{\"city\":\"Bern\"}"}}])")
                         .value();
  EXPECT_EQ(deltas[1], Json({{"tool_calls", calls}}));
  const Json& second = deltas[2]["tool_calls"][0];
  EXPECT_EQ(second["index"], 1);
  EXPECT_EQ(second["id"].get<std::string>().substr(0, 5), "call_");
  EXPECT_EQ(events[3].data["choices"][0]["finish_reason"], "tool_calls");

  const Json choice = json_of(api.post(kCompletionsPath, kCompletionsHello))["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_EQ(choice["message"]["content"], "");
  ASSERT_EQ(choice["message"]["tool_calls"].size(), 2U);
  EXPECT_EQ(choice["message"]["tool_calls"][0], calls[0]);
}

TEST_F(ChatCompletionsTest, LogprobsHaveBytesAndAlternatives) {
  AnswerPiece piece = text_piece("é");
  piece.logprobs = {{"é", -0.5F, {{"é", -0.5F}, {"\xC3", -INFINITY}}}};
  api.generator().pieces = {piece};
  const std::vector<SseEvent> events = events_of(api.post(kCompletionsPath, kCompletionsStream));
  const Json& first = events[1].data["choices"][0]["logprobs"]["content"][0];
  EXPECT_EQ(first["token"], "é");
  EXPECT_EQ(first["logprob"], -0.5);
  EXPECT_EQ(first["bytes"], Json::array({0xC3, 0xA9}));
  ASSERT_EQ(first["top_logprobs"].size(), 2U);
  EXPECT_EQ(first["top_logprobs"][1]["logprob"], -9999.0);
  EXPECT_EQ(first["top_logprobs"][1]["bytes"], Json::array({0xC3}));
  EXPECT_FALSE(events[2].data["choices"][0].contains("logprobs"));
}

TEST_F(ChatCompletionsTest, AStreamThatFailsEndsWithAnError) {
  api.generator().pieces = {text_piece("Hel")};
  api.generator().end.stop = StopReason::kError;
  api.generator().end.error = Error{ErrorCode::kIo, "the disk has gone"};
  const std::vector<SseEvent> events = events_of(api.post(kCompletionsPath, kCompletionsStream));
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[2].data["error"]["message"], "the disk has gone");
  EXPECT_EQ(events[2].data["error"]["type"], "api_error");
}

TEST_F(ChatCompletionsTest, WhatFailsBeforeTheFirstPieceHasAStatus) {
  api.generator().refusal = Error{ErrorCode::kContextFull, "prompt is too long"};
  auto exchange = api.post(kCompletionsPath, kCompletionsStream);
  EXPECT_EQ(exchange->status(), 400);
  EXPECT_EQ(json_of(exchange)["error"]["message"], "prompt is too long");
  api.generator().refusal = Error{ErrorCode::kBusy, "full"};
  exchange = api.post(kCompletionsPath, kCompletionsStream);
  EXPECT_EQ(exchange->status(), 503);
  EXPECT_EQ(json_of(exchange)["error"]["type"], "api_error");
}

TEST_F(ChatCompletionsTest, AClientThatGoesEndsItsAnswer) {
  api.generator().hold = true;
  const auto exchange = api.post(kCompletionsPath, kCompletionsStream);
  exchange->go();
  EXPECT_EQ(api.generator().cancelled.size(), 1U);
}

TEST_F(ChatCompletionsTest, SeveralChoicesAreNumbered) {
  api.generator().pieces = {text_piece("a"), call_piece("call_1", "f", "{}")};
  set_usage();
  const std::string hello = R"({"model":"stories","n":2,"messages":[{"role":"user","content":"Hi"}])";
  const Json json = json_of(api.post(kCompletionsPath, hello + "}"));
  ASSERT_EQ(json["choices"].size(), 2U);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(json["choices"][i]["index"], i);
    EXPECT_EQ(json["choices"][i]["message"]["content"], "a");
    EXPECT_EQ(json["choices"][i]["message"]["tool_calls"][0]["index"], 0);
    EXPECT_EQ(json["choices"][i]["finish_reason"], "tool_calls");
  }
  EXPECT_EQ(json["usage"]["prompt_tokens"], 11) << "it is one prompt";
  EXPECT_EQ(json["usage"]["completion_tokens"], 14);
  const auto events =
      events_of(api.post(kCompletionsPath, hello + R"(,"stream":true,"stream_options":{"include_usage":true}})"));
  std::string told;
  for (const SseEvent& event : events) {
    if (event.text == "[DONE]" || event.data["choices"].empty()) {
      told += event.text == "[DONE]" ? "D" : "U";
      continue;
    }
    const Json& choice = event.data["choices"][0];
    told += fmt::format("{}{}", choice["index"].get<int>(), choice["finish_reason"].is_null() ? "" : "!");
  }
  EXPECT_EQ(told, "01000!111!UD");
}

}  // namespace
}  // namespace hypura
