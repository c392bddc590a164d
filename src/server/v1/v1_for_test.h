// A server with some routes of /v1, and its answers read as JSON and as events.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/fake_host_for_test.h"
#include "server/json/json.h"

namespace hypura {

struct SseEvent {
  std::string name;  // empty: none
  Json data;         // null for "[DONE]" and for what is no JSON
  std::string text;  // the data as it came
};

class V1Test : public testing::Test {
 protected:
  explicit V1Test(std::vector<Route> routes) : api(std::move(routes)) {}

  FakeApi api;

  // The JSON of an answer that is one object.
  static Json json_of(const std::shared_ptr<FakeExchange>& exchange) {
    EXPECT_TRUE(exchange->wait());
    EXPECT_EQ(exchange->answers(), 1);
    EXPECT_FALSE(exchange->streamed());
    EXPECT_EQ(exchange->head().content_type, "application/json; charset=utf-8");
    return parse_json(exchange->body()).value_or(Json());
  }

  // The events of a stream that has ended.
  static std::vector<SseEvent> events_of(const std::shared_ptr<FakeExchange>& exchange) {
    EXPECT_TRUE(exchange->wait());
    EXPECT_EQ(exchange->answers(), 1);
    EXPECT_TRUE(exchange->streamed());
    EXPECT_EQ(exchange->status(), 200);
    EXPECT_EQ(exchange->head().content_type, "text/event-stream");
    std::vector<SseEvent> events;
    std::string_view rest = exchange->body();
    while (!rest.empty()) {
      const size_t end = rest.find("\n\n");
      EXPECT_NE(end, std::string_view::npos) << rest;
      events.push_back(event_of(rest.substr(0, end)));
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 2);
    }
    return events;
  }

  // What was asked of the model; one request.
  const AnswerRequest& asked() {
    EXPECT_EQ(api.generator().requests.size(), 1U);
    static const AnswerRequest kNone;
    return api.generator().requests.empty() ? kNone : api.generator().requests.back();
  }

  static AnswerPiece text_piece(std::string content) {
    AnswerPiece piece;
    piece.content = std::move(content);
    return piece;
  }

  static AnswerPiece thought(std::string thinking) {
    AnswerPiece piece;
    piece.thinking = std::move(thinking);
    return piece;
  }

  static AnswerPiece call_piece(std::string id, std::string name, std::string arguments) {
    AnswerPiece piece;
    piece.tool_calls.push_back({std::move(id), std::move(name), std::move(arguments)});
    return piece;
  }

 private:
  static SseEvent event_of(std::string_view block) {
    constexpr std::string_view kEvent = "event: ";
    constexpr std::string_view kData = "data: ";
    SseEvent event;
    if (block.substr(0, kEvent.size()) == kEvent) {
      const size_t end = block.find('\n');
      event.name = block.substr(kEvent.size(), end - kEvent.size());
      block.remove_prefix(end + 1);
    }
    EXPECT_EQ(block.substr(0, kData.size()), kData);
    event.text = block.substr(kData.size());
    event.data = parse_json(event.text).value_or(Json());
    return event;
  }
};

}  // namespace hypura
