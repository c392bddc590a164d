#include "output/tool_call_ids.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "output/requests_for_test.h"

namespace hypura {
namespace {

ChatMessage called(const std::vector<ToolCall>& calls) {
  ChatMessage message = says("assistant", "");
  message.tool_calls = calls;
  return message;
}

ChatMessage result(const std::string& id, const std::string& name = "") {
  ChatMessage message = says("tool", "x");
  message.tool_call_id = id;
  message.tool_name = name;
  return message;
}

TEST(ToolCallIds, ResultsAreOfTheirCalls) {
  std::vector<ChatMessage> messages = {called({{"a", "f", ""}, {"b", "g", ""}}), result("b"), result("a"), result("c")};
  resolve_call_ids(messages, false);
  EXPECT_EQ(messages[1].tool_name, "g");
  EXPECT_EQ(messages[2].tool_name, "f");
  EXPECT_EQ(messages[3].tool_name, "");
  EXPECT_EQ(messages[3].tool_call_id, "c");
}

TEST(ToolCallIds, WhoGivesNoIdsGetsSome) {
  std::vector<ChatMessage> messages = {called({{"", "f", ""}, {"", "g", ""}, {"", "f", ""}}), result("", "g"),
                                       result("", "f"), result("")};
  resolve_call_ids(messages, false);
  EXPECT_EQ(messages[0].tool_calls[0].id, "call_1");
  EXPECT_EQ(messages[0].tool_calls[2].id, "call_3");
  EXPECT_EQ(messages[1].tool_call_id, "call_2");
  EXPECT_EQ(messages[2].tool_call_id, "call_1");
  EXPECT_EQ(messages[3].tool_call_id, "call_3");
  EXPECT_EQ(messages[3].tool_name, "f");
}

TEST(ToolCallIds, NineLettersOrDigits) {
  const std::vector<std::string> ids = {"call_1x2mJ9QeTn0aVbRkWc5Yd8Lz",
                                        "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
                                        "7",
                                        "abcDEF123",
                                        "call_abcDEF123",
                                        "call_zzzzzzzz9",
                                        "<|im_end|>",
                                        ""};
  std::vector<ChatMessage> messages;
  for (const std::string& id : ids) {
    messages.push_back(called({{id, "f", ""}}));
    messages.push_back(result(id));
  }
  std::vector<ChatMessage> again = messages;
  again.resize(6);
  resolve_call_ids(messages, true);
  resolve_call_ids(again, true);
  std::set<std::string> seen;
  for (size_t i = 0; i < messages.size(); i += 2) {
    const std::string& id = messages[i].tool_calls[0].id;
    EXPECT_THAT(id, testing::MatchesRegex("[a-zA-Z0-9]{9}"));
    EXPECT_EQ(messages[i + 1].tool_call_id, id);
    EXPECT_TRUE(seen.insert(id).second) << id;
  }
  EXPECT_EQ(messages[6].tool_calls[0].id, "abcDEF123");
  EXPECT_EQ(messages[10].tool_calls[0].id, "zzzzzzzz9");
  for (size_t i = 0; i < again.size(); i += 2) {
    EXPECT_EQ(again[i].tool_calls[0].id, messages[i].tool_calls[0].id);
  }
}

TEST(ToolCallIds, WhatTheModelGaveComesBack) {
  const std::string given = id_for_client("aB3dE6gH9");
  EXPECT_EQ(given, "call_aB3dE6gH9");
  std::vector<ChatMessage> messages = {called({{given, "f", ""}}), result(given)};
  resolve_call_ids(messages, true);
  EXPECT_EQ(messages[0].tool_calls[0].id, "aB3dE6gH9");
  EXPECT_EQ(messages[1].tool_call_id, "aB3dE6gH9");
  EXPECT_EQ(id_for_client("functions.f:0"), "functions.f:0");
  EXPECT_THAT(id_for_client(""), testing::MatchesRegex("call_[a-z0-9]{8}"));
}

TEST(ToolCallIds, ManyCallsTakeLittleTime) {
  std::vector<ChatMessage> messages;
  for (int i = 0; i < 5000; ++i) {
    messages.push_back(called({{"", "f", ""}}));
    messages.push_back(i % 2 == 0 ? result("none") : result("", "g"));
  }
  resolve_call_ids(messages, true);
  EXPECT_EQ(messages.size(), 10000U);
}

}  // namespace
}  // namespace hypura
