#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/openai/openai_for_test.h"

namespace hypura {
namespace {

constexpr const char* kResponsesPath = "/v1/responses";
constexpr const char* kResponsesHello = R"({"model":"stories","input":"Hi"})";
constexpr const char* kResponsesStream = R"({"model":"stories","input":"Hi","stream":true})";

class ResponsesTest : public OpenaiTest {
 protected:
  // The events, after looking at what all have.
  std::vector<SseEvent> stream(const std::string& body = kResponsesStream) {
    std::vector<SseEvent> events = events_of(api.post(kResponsesPath, body));
    for (size_t i = 0; i < events.size(); ++i) {
      EXPECT_EQ(events[i].data["type"], events[i].name);
      EXPECT_EQ(events[i].data["sequence_number"], i);
    }
    return events;
  }

  static std::vector<std::string> names_of(const std::vector<SseEvent>& events) {
    std::vector<std::string> names;
    for (const SseEvent& event : events) {
      names.push_back(event.name);
    }
    return names;
  }
};

TEST_F(ResponsesTest, AnswersWithOneObject) {
  api.generator().pieces = {thought("hm"), text_piece("Hel"), text_piece("lo")};
  api.generator().end.prompt_tokens = 5;
  api.generator().end.cached_prompt_tokens = 2;
  api.generator().end.answer_tokens = 3;
  api.generator().end.thinking_tokens = 2;
  const Json json = json_of(api.post(kResponsesPath, kResponsesHello));
  EXPECT_EQ(json["id"].get<std::string>().substr(0, 5), "resp_");
  EXPECT_EQ(json["object"], "response");
  EXPECT_EQ(json["status"], "completed");
  EXPECT_EQ(json["model"], "stories");
  EXPECT_EQ(json["error"], nullptr);
  EXPECT_EQ(json["incomplete_details"], nullptr);
  EXPECT_EQ(json["store"], false);
  EXPECT_EQ(json["temperature"], 1.0);
  EXPECT_EQ(json["tools"], Json::array());
  EXPECT_EQ(json["tool_choice"], "auto");
  EXPECT_EQ(json["text"], Json({{"format", {{"type", "text"}}}}));
  EXPECT_EQ(json["usage"]["input_tokens"], 5);
  EXPECT_EQ(json["usage"]["input_tokens_details"]["cached_tokens"], 2);
  EXPECT_EQ(json["usage"]["output_tokens"], 3);
  EXPECT_EQ(json["usage"]["output_tokens_details"]["reasoning_tokens"], 2);
  EXPECT_EQ(json["usage"]["total_tokens"], 8);
  ASSERT_EQ(json["output"].size(), 2U);
  EXPECT_EQ(json["output"][0]["type"], "reasoning");
  EXPECT_EQ(json["output"][0]["summary"], parse_json(R"([{"type":"summary_text","text":"hm"}])"));
  EXPECT_FALSE(json["output"][0].contains("encrypted_content"));
  Json message = json["output"][1];
  EXPECT_EQ(message["id"].get<std::string>().substr(0, 4), "msg_");
  message.erase("id");
  EXPECT_EQ(message, parse_json(R"({"type":"message","status":"completed","role":"assistant","content":
      [{"type":"output_text","text":"Hello","annotations":[],"logprobs":[]}]})"));
}

TEST_F(ResponsesTest, StreamsTextInOrder) {
  api.generator().pieces = {text_piece("Hel"), text_piece("lo")};
  const std::vector<SseEvent> events = stream();
  EXPECT_EQ(names_of(events),
            (std::vector<std::string>{
                "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
                "response.output_text.delta", "response.output_text.delta", "response.output_text.done",
                "response.content_part.done", "response.output_item.done", "response.completed"}));
  EXPECT_EQ(events[0].data["response"]["status"], "in_progress");
  EXPECT_EQ(events[0].data["response"]["output"], Json::array());
  EXPECT_EQ(events[2].data["item"]["status"], "in_progress");
  EXPECT_EQ(events[2].data["item"]["content"], Json::array());
  const Json id = events[2].data["item"]["id"];
  for (size_t i = 3; i < 8; ++i) {
    EXPECT_EQ(events[i].data["item_id"], id);
    EXPECT_EQ(events[i].data["output_index"], 0);
    EXPECT_EQ(events[i].data["content_index"], 0);
  }
  EXPECT_EQ(events[3].data["part"]["text"], "");
  EXPECT_EQ(events[4].data["delta"], "Hel");
  EXPECT_EQ(events[4].data["logprobs"], Json::array());
  EXPECT_EQ(events[6].data["text"], "Hello");
  EXPECT_EQ(events[7].data["part"]["text"], "Hello");
  EXPECT_EQ(events[8].data["item"]["content"][0]["text"], "Hello");
  EXPECT_EQ(events[8].data["item"]["id"], id);
  EXPECT_EQ(events[9].data["response"]["status"], "completed");
  EXPECT_EQ(events[9].data["response"]["output"][0], events[8].data["item"]);
  EXPECT_EQ(events[9].data["response"]["id"], events[0].data["response"]["id"]);
}

TEST_F(ResponsesTest, StreamsReasoningBeforeText) {
  api.generator().pieces = {thought("h"), thought("m"), text_piece("Hello")};
  const std::vector<SseEvent> events =
      stream(R"({"model":"stories","input":"Hi","stream":true,"include":["reasoning.encrypted_content"]})");
  EXPECT_EQ(names_of(events),
            (std::vector<std::string>{
                "response.created", "response.in_progress", "response.output_item.added",
                "response.reasoning_summary_part.added", "response.reasoning_summary_text.delta",
                "response.reasoning_summary_text.delta", "response.reasoning_summary_text.done",
                "response.reasoning_summary_part.done", "response.output_item.done", "response.output_item.added",
                "response.content_part.added", "response.output_text.delta", "response.output_text.done",
                "response.content_part.done", "response.output_item.done", "response.completed"}));
  EXPECT_EQ(events[2].data["item"]["type"], "reasoning");
  EXPECT_EQ(events[3].data["part"], Json({{"type", "summary_text"}, {"text", ""}}));
  EXPECT_EQ(events[4].data["summary_index"], 0);
  EXPECT_EQ(events[6].data["text"], "hm");
  EXPECT_EQ(events[8].data["item"]["summary"][0]["text"], "hm");
  EXPECT_EQ(events[8].data["item"]["encrypted_content"], "hm");
  EXPECT_EQ(events[9].data["output_index"], 1);
  EXPECT_EQ(events[15].data["response"]["output"].size(), 2U);
}

TEST_F(ResponsesTest, StreamsCallsWhole) {
  api.generator().pieces = {text_piece("So:"), call_piece("call_1", "f", R"({"a":1})"), call_piece("", "g", "{}")};
  const std::vector<SseEvent> events = stream();
  ASSERT_EQ(events.size(), 17U);
  EXPECT_EQ(events[8].name, "response.output_item.added");
  EXPECT_EQ(events[8].data["output_index"], 1);
  EXPECT_EQ(events[8].data["item"]["call_id"], "call_1");
  EXPECT_EQ(events[8].data["item"]["arguments"], "");
  EXPECT_EQ(events[9].name, "response.function_call_arguments.delta");
  EXPECT_EQ(events[9].data["delta"], R"({"a":1})");
  EXPECT_EQ(events[9].data["item_id"], events[8].data["item"]["id"]);
  EXPECT_EQ(events[10].name, "response.function_call_arguments.done");
  EXPECT_EQ(events[10].data["name"], "f");
  EXPECT_EQ(events[10].data["arguments"], R"({"a":1})");
  EXPECT_EQ(events[11].name, "response.output_item.done");
  EXPECT_EQ(events[11].data["item"]["status"], "completed");
  EXPECT_EQ(events[15].data["item"]["call_id"].get<std::string>().substr(0, 5), "call_");
  EXPECT_EQ(events[16].data["response"]["output"].size(), 3U);
}

TEST_F(ResponsesTest, OnlyCallsMakeNoMessage) {
  api.generator().pieces = {call_piece("call_1", "f", "{}")};
  const Json output = json_of(api.post(kResponsesPath, kResponsesHello))["output"];
  ASSERT_EQ(output.size(), 1U);
  EXPECT_EQ(output[0]["type"], "function_call");
}

TEST_F(ResponsesTest, AnEmptyAnswerIsAnEmptyMessage) {
  const Json output = json_of(api.post(kResponsesPath, kResponsesHello))["output"];
  ASSERT_EQ(output.size(), 1U);
  EXPECT_EQ(output[0]["content"][0]["text"], "");
  EXPECT_EQ(stream().size(), 8U);
}

TEST_F(ResponsesTest, ACutAnswerIsIncomplete) {
  api.generator().pieces = {text_piece("Hel")};
  api.generator().end.stop = StopReason::kLength;
  const std::vector<SseEvent> events = stream();
  EXPECT_EQ(events.back().name, "response.incomplete");
  const Json& response = events.back().data["response"];
  EXPECT_EQ(response["status"], "incomplete");
  EXPECT_EQ(response["incomplete_details"], Json({{"reason", "max_output_tokens"}}));
  EXPECT_EQ(response["output"][0]["status"], "incomplete");
  EXPECT_EQ(response["completed_at"], nullptr);
}

TEST_F(ResponsesTest, AStreamThatFailsSaysSo) {
  api.generator().pieces = {text_piece("Hel")};
  api.generator().end.stop = StopReason::kError;
  api.generator().end.error = Error{ErrorCode::kIo, "the disk has gone"};
  const std::vector<SseEvent> events = stream();
  EXPECT_EQ(events.back().name, "response.failed");
  EXPECT_EQ(events.back().data["response"]["status"], "failed");
  EXPECT_EQ(events.back().data["response"]["error"],
            Json({{"code", "server_error"}, {"message", "the disk has gone"}}));
}

TEST_F(ResponsesTest, CommentsWhileNothingIsSaid) {
  api.generator().hold = true;
  const auto exchange = api.post(kResponsesPath, kResponsesStream);
  exchange->quiet();
  exchange->quiet();
  ASSERT_EQ(exchange->pieces().size(), 2U);
  EXPECT_EQ(exchange->pieces()[0].substr(0, 24), "event: response.created\n");
  EXPECT_EQ(exchange->pieces()[1], ":\n\n");
  api.generator().play(1);
  EXPECT_NE(exchange->body().find("event: response.completed\n"), std::string::npos);
}

TEST_F(ResponsesTest, WhatFailsBeforeTheFirstPieceHasAStatus) {
  api.generator().refusal = Error{ErrorCode::kContextFull, "prompt is too long"};
  const auto exchange = api.post(kResponsesPath, kResponsesStream);
  EXPECT_EQ(exchange->status(), 400);
  EXPECT_EQ(json_of(exchange)["error"]["message"], "prompt is too long");
}

TEST_F(ResponsesTest, LogprobsBelongToTheText) {
  AnswerPiece thinking = thought("hm");
  thinking.logprobs = {{"hm", -3.0F, {}}};
  AnswerPiece text = text_piece("a");
  text.logprobs = {{"a", -0.5F, {{"a", -0.5F}}}};
  AnswerPiece rest;
  rest.logprobs = {{"", -1.0F, {}}};
  api.generator().pieces = {thinking, text, rest};
  const std::vector<SseEvent> events = stream(R"({"model":"stories","input":"Hi","top_logprobs":1,"stream":true})");
  const Json& output = events.back().data["response"]["output"];
  const Json& logprobs = output[1]["content"][0]["logprobs"];
  ASSERT_EQ(logprobs.size(), 2U);
  EXPECT_EQ(logprobs[0]["token"], "a");
  EXPECT_EQ(logprobs[0]["top_logprobs"][0]["logprob"], -0.5);
  EXPECT_EQ(asked().top_logprobs, 1);
  EXPECT_TRUE(asked().logprobs);
}

}  // namespace
}  // namespace hypura
