// A server with the native routes alone, and answers read as JSON.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "server/fake_host_for_test.h"
#include "server/json/json.h"

namespace hypura {

class OllamaTest : public testing::Test {
 protected:
  FakeApi api{ollama_routes()};

  // The JSON of an answer that is one object; null when it is none.
  static Json json_of(const std::shared_ptr<FakeExchange>& exchange) {
    EXPECT_TRUE(exchange->wait());
    EXPECT_EQ(exchange->answers(), 1);
    return parse_json(exchange->body()).value_or(Json());
  }

  // The records of a stream.
  static std::vector<Json> records_of(const std::shared_ptr<FakeExchange>& exchange) {
    EXPECT_TRUE(exchange->streamed());
    EXPECT_EQ(exchange->head().content_type, "application/x-ndjson");
    std::vector<Json> records;
    std::istringstream lines(exchange->body());
    for (std::string line; std::getline(lines, line);) {
      records.push_back(parse_json(line).value_or(Json()));
    }
    return records;
  }

  // That a request is refused with one JSON object that holds only an error.
  void expect_error(const std::string& path, const std::string& body, int status, const std::string& text) {
    const auto exchange = api.post(path, body);
    ASSERT_NE(exchange, nullptr) << path;
    EXPECT_FALSE(exchange->streamed()) << body;
    EXPECT_EQ(exchange->status(), status) << body;
    EXPECT_EQ(exchange->head().content_type, "application/json; charset=utf-8");
    EXPECT_EQ(json_of(exchange), Json({{"error", text}})) << body;
    EXPECT_TRUE(api.generator().requests.empty()) << body;
    EXPECT_EQ(api.host.leases, 0);
  }

  static AnswerPiece text_piece(std::string content) {
    AnswerPiece piece;
    piece.content = std::move(content);
    return piece;
  }
};

}  // namespace hypura
