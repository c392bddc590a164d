#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/v1/v1_for_test.h"

namespace hypura {
namespace {

constexpr const char* kMessagesPath = "/v1/messages";
constexpr const char* kMessagesHello =
    R"({"model":"Stories","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]})";
constexpr const char* kMessagesStream =
    R"({"model":"stories","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"Hi"}]})";

class MessagesTest : public V1Test {
 protected:
  MessagesTest() : V1Test(anthropic_routes()) {}

  // The events, whose names are their types.
  std::vector<SseEvent> stream(const std::string& body = kMessagesStream) {
    std::vector<SseEvent> events = events_of(api.post(kMessagesPath, body));
    for (const SseEvent& event : events) {
      EXPECT_EQ(event.data["type"], event.name);
    }
    return events;
  }

  static std::string text_of(const std::vector<SseEvent>& events) {
    std::string text;
    for (const SseEvent& event : events) {
      Json data = event.data;
      data.erase("type");
      text += event.name + " " + dump_json(data) + "\n";
    }
    return text;
  }

  void expect_error(const std::string& path, const std::string& body, int status, const std::string& type,
                    const std::string& message) {
    const auto exchange = api.post(path, body);
    ASSERT_NE(exchange, nullptr);
    EXPECT_EQ(exchange->status(), status) << body;
    Json json = json_of(exchange);
    EXPECT_EQ(json["request_id"].get<std::string>().substr(0, 4), "req_");
    json.erase("request_id");
    EXPECT_EQ(json, Json({{"type", "error"}, {"error", {{"type", type}, {"message", message}}}})) << body;
    EXPECT_TRUE(api.generator().requests.empty()) << body;
    EXPECT_EQ(api.host.leases, 0);
  }
};

TEST_F(MessagesTest, AnswersWithOneObject) {
  api.generator().pieces = {thought("hm"), text_piece("Hel"), text_piece("lo"),
                            call_piece("call_1", "f", R"({"a":1})")};
  api.generator().end.prompt_tokens = 11;
  api.generator().end.cached_prompt_tokens = 4;
  api.generator().end.answer_tokens = 7;
  const auto exchange = api.post(kMessagesPath, kMessagesHello);
  Json json = json_of(exchange);
  EXPECT_EQ(exchange->head().headers.at(0).first, "request-id");
  EXPECT_EQ(json["id"].get<std::string>().substr(0, 4), "msg_");
  json.erase("id");
  EXPECT_EQ(json, parse_json(R"({"type":"message","role":"assistant","model":"Stories","content":[
      {"type":"thinking","thinking":"hm","signature":""},
      {"type":"text","text":"Hello"},
      {"type":"tool_use","id":"call_1","name":"f","input":{"a":1}}],
      "stop_reason":"tool_use","stop_sequence":null,
      "usage":{"input_tokens":7,"output_tokens":7,
               "cache_creation_input_tokens":0,"cache_read_input_tokens":4}})"));
}

TEST_F(MessagesTest, StreamsInOrder) {
  api.generator().pieces = {thought("hm"), text_piece("Hel"), text_piece("lo"),
                            call_piece("call_1", "f", R"({"a":1})")};
  api.generator().end.prompt_tokens = 11;
  api.generator().end.cached_prompt_tokens = 4;
  api.generator().end.answer_tokens = 7;
  std::vector<SseEvent> events = stream();
  EXPECT_EQ(events[0].data["message"]["id"].get<std::string>().substr(0, 4), "msg_");
  events[0].data["message"].erase("id");
  EXPECT_EQ(text_of(events),
            R"(message_start {"message":{"type":"message","role":"assistant","model":"stories","content":[],)"
            R"("stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":0,)"
            R"("cache_creation_input_tokens":0,"cache_read_input_tokens":0}}})"
            "\n"
            R"(content_block_start {"index":0,"content_block":{"type":"thinking","thinking":"","signature":""}})"
            "\n"
            R"(content_block_delta {"index":0,"delta":{"type":"thinking_delta","thinking":"hm"}})"
            "\n"
            R"(content_block_stop {"index":0})"
            "\n"
            R"(content_block_start {"index":1,"content_block":{"type":"text","text":""}})"
            "\n"
            R"(content_block_delta {"index":1,"delta":{"type":"text_delta","text":"Hel"}})"
            "\n"
            R"(content_block_delta {"index":1,"delta":{"type":"text_delta","text":"lo"}})"
            "\n"
            R"(content_block_stop {"index":1})"
            "\n"
            R"(content_block_start {"index":2,"content_block":{"type":"tool_use","id":"call_1","name":"f","input":{}}})"
            "\n"
            R"(content_block_delta {"index":2,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}})"
            "\n"
            R"(content_block_stop {"index":2})"
            "\n"
            R"(message_delta {"delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":7,)"
            R"("output_tokens":7,"cache_creation_input_tokens":0,"cache_read_input_tokens":4}})"
            "\n"
            "message_stop {}\n");
}

TEST_F(MessagesTest, StopReasons) {
  const auto reason = [this](StopReason stop) {
    api.generator().end.stop = stop;
    return json_of(api.post(kMessagesPath, kMessagesHello))["stop_reason"].get<std::string>();
  };
  EXPECT_EQ(reason(StopReason::kEndOfText), "end_turn");
  EXPECT_EQ(reason(StopReason::kLength), "max_tokens");
  EXPECT_EQ(reason(StopReason::kContextFull), "model_context_window_exceeded");
}

TEST_F(MessagesTest, TellsWhichStopSequenceItWas) {
  const std::string rest = R"("stop_sequences":["STOP","END"],"messages":[{"role":"user","content":"Hi"}]})";
  api.generator().end.stop = StopReason::kStopString;
  api.generator().end.stop_string = "END";
  const Json json = json_of(api.post(kMessagesPath, R"({"model":"stories","max_tokens":9,)" + rest));
  EXPECT_EQ(json["stop_reason"], "stop_sequence");
  EXPECT_EQ(json["stop_sequence"], "END");
  const std::vector<SseEvent> events = stream(R"({"model":"stories","max_tokens":9,"stream":true,)" + rest);
  EXPECT_EQ(events[1].data["delta"], Json({{"stop_reason", "stop_sequence"}, {"stop_sequence", "END"}}));
}

TEST_F(MessagesTest, PingsWhileNothingIsSaid) {
  api.generator().hold = true;
  api.generator().pieces = {text_piece("Hello")};
  const auto exchange = api.post(kMessagesPath, kMessagesStream);
  exchange->quiet();
  exchange->quiet();
  EXPECT_EQ(exchange->pieces().at(1), "event: ping\ndata: {\"type\":\"ping\"}\n\n");
  api.generator().play(1);
  const std::vector<SseEvent> events = events_of(exchange);
  EXPECT_EQ(events[0].name, "message_start");
  EXPECT_EQ(events[1].name, "ping");
  EXPECT_EQ(events[2].name, "content_block_start");
  EXPECT_EQ(events.back().name, "message_stop");
}

TEST_F(MessagesTest, AnEmptyAnswerIsAWholeStream) {
  const std::vector<SseEvent> events = stream();
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[0].name, "message_start");
  EXPECT_EQ(events[1].data["delta"]["stop_reason"], "end_turn");
  EXPECT_EQ(events[2].name, "message_stop");
  EXPECT_EQ(json_of(api.post(kMessagesPath, kMessagesHello))["content"], Json::array());
}

TEST_F(MessagesTest, AStreamThatFailsEndsWithAnError) {
  api.generator().pieces = {text_piece("Hel")};
  api.generator().end.stop = StopReason::kError;
  api.generator().end.error = Error{ErrorCode::kIo, "the disk has gone"};
  const std::vector<SseEvent> events = stream();
  EXPECT_EQ(events.back().name, "error");
  EXPECT_EQ(events.back().data["error"], Json({{"type", "api_error"}, {"message", "the disk has gone"}}));
}

TEST_F(MessagesTest, WhatFailsBeforeTheFirstPieceHasAStatus) {
  api.generator().refusal = Error{ErrorCode::kBusy, "full"};
  const auto exchange = api.post(kMessagesPath, kMessagesStream);
  EXPECT_EQ(exchange->status(), 503);
  EXPECT_EQ(json_of(exchange)["error"]["type"], "overloaded_error");
}

TEST_F(MessagesTest, RefusesWhatCannotBe) {
  const std::string rest = R"("max_tokens":9,"messages":[{"role":"user","content":"Hi"}]})";
  expect_error(kMessagesPath, "", 400, "invalid_request_error", "EOF");
  expect_error(kMessagesPath, "{" + rest, 400, "invalid_request_error", "model is required");
  expect_error(kMessagesPath, R"({"model":"claude",)" + rest, 404, "not_found_error", "model 'claude' not found");
  expect_error(kMessagesPath, R"({"model":"stories","tools":[{"name":"f","input_schema":{}}],)" + rest, 400,
               "invalid_request_error", "\"stories\" does not support tools");
  expect_error("/v1/messages/batches", "{}", 404, "not_found_error",
               "/v1/messages/batches is not offered: this server answers /v1/messages and /v1/messages/count_tokens");
}

TEST_F(MessagesTest, AModelThatDoesNotThinkAnswersAtOnce) {
  const std::string rest = R"("max_tokens":9,"messages":[{"role":"user","content":"Hi"}]})";
  for (const char* wish : {R"("thinking":{"type":"enabled","budget_tokens":1024})", R"("thinking":{"type":"adaptive"})",
                           R"("output_config":{"effort":"high"})"}) {
    EXPECT_EQ(api.post(kMessagesPath, R"({"model":"stories",)" + std::string(wish) + "," + rest)->status(), 200);
  }
  for (const AnswerRequest& request : api.generator().requests) {
    EXPECT_EQ(request.think, false);
    EXPECT_EQ(request.effort, "");
    EXPECT_EQ(request.thinking_budget, std::nullopt);
  }
  EXPECT_EQ(api.generator().requests.size(), 3U);
}

TEST_F(MessagesTest, CountsTokensWithoutAnswering) {
  const auto exchange = api.post("/v1/messages/count_tokens",
                                 R"({"model":"stories","system":"S","messages":[{"role":"user","content":"Hi"}]})");
  EXPECT_EQ(json_of(exchange), Json({{"input_tokens", 19}}));  // "system: S\nuser: Hi\n"
  EXPECT_TRUE(api.generator().requests.empty());
  EXPECT_EQ(api.host.leases, 0);
  expect_error("/v1/messages/count_tokens", R"({"model":"stories"})", 400, "invalid_request_error",
               "messages is required");
  api.host.load_error = Error{ErrorCode::kBudget, "too large"};
  EXPECT_EQ(api.post("/v1/messages/count_tokens", kMessagesHello)->status(), 500);
}

TEST_F(MessagesTest, APromptThatIsTooLongIsToldAsAnthropicDoes) {
  api.generator().refusal = Error{ErrorCode::kContextFull, "too long", Overflow{250000, true, 32768}};
  for (const char* body : {kMessagesHello, kMessagesStream}) {
    const auto exchange = api.post(kMessagesPath, body);
    EXPECT_EQ(exchange->status(), 400);
    const Json json = json_of(exchange);
    EXPECT_EQ(json["error"], Json({{"type", "invalid_request_error"},
                                   {"message", "prompt is too long: 250000 tokens > 32768 maximum"}}));
  }
}

}  // namespace
}  // namespace hypura
