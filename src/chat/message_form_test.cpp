#include "chat/message_form.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "chat.h"

namespace hypura {
namespace {

common_chat_msg said(const char* role, const std::string& content) {
  common_chat_msg message;
  message.role = role;
  message.content = content;
  return message;
}

common_chat_msg called(const std::vector<std::string>& ids, const std::string& content = "") {
  common_chat_msg message = said("assistant", content);
  for (const std::string& id : ids) {
    message.tool_calls.push_back({"look_up", "{}", id});
  }
  return message;
}

common_chat_msg result(const std::string& id, const std::string& content) {
  common_chat_msg message = said("tool", content);
  message.tool_name = "look_up";
  message.tool_call_id = id;
  return message;
}

// "user:Hi|assistant:Yes[1,2]|tool:x(1)"
std::string written(const std::vector<common_chat_msg>& messages) {
  std::string text;
  for (const common_chat_msg& message : messages) {
    text += (text.empty() ? "" : "|") + message.role + ":" + message.content;
    std::string ids;
    for (const common_chat_tool_call& call : message.tool_calls) {
      ids += (ids.empty() ? "" : ",") + call.id;
    }
    text += ids.empty() ? "" : "[" + ids + "]";
    text += message.tool_call_id.empty() ? "" : "(" + message.tool_call_id + ")";
  }
  return text;
}

std::string arranged(std::vector<common_chat_msg> messages, const TakesShape& takes, bool continued = false) {
  arrange_messages(messages, continued, takes);
  return written(messages);
}

// Takes everything but what holds one of `parts`.
TakesShape all_but(std::vector<std::string> parts) {
  return [parts = std::move(parts)](std::string_view shape) {
    return std::none_of(parts.begin(), parts.end(),
                        [&](const std::string& it) { return shape.find(it) != std::string_view::npos; });
  };
}

// As Mistral's templates: a system only first, user and assistant in turns, calls and results between them.
bool alternating(std::string_view shape) {
  size_t turn = 0;
  for (size_t i = 0; i < shape.size(); ++i) {
    const char letter = shape[i];
    if (letter == 'S' && i > 0) {
      return false;
    }
    if (std::string_view("UuAa").find(letter) != std::string_view::npos) {
      const bool user = letter == 'U' || letter == 'u';
      if (user != (turn++ % 2 == 0)) {
        return false;
      }
    } else if (letter != 'S' && turn == 0) {
      return false;
    }
  }
  return true;
}

TEST(MessageForm, WhatIsTakenStaysAsItIs) {
  const std::vector<common_chat_msg> messages = {
      said("system", "a"), said("user", "b"), said("user", ""),  said("system", "c"),    called({"1", "2"}, "d"),
      result("2", "e"),    result("1", "f"),  said("user", "g"), said("assistant", "h"), said("assistant", "i")};
  EXPECT_EQ(arranged(messages, all_but({})), written(messages));
}

TEST(MessageForm, NeighboursOfOneRoleAreJoined) {
  EXPECT_EQ(arranged({said("user", "a"), said("user", "b"), said("user", "")}, alternating), "user:a\n\nb");
  EXPECT_EQ(arranged({said("system", "a"), said("system", "b"), said("user", "c")}, alternating),
            "system:a\n\nb|user:c");
  EXPECT_EQ(arranged({said("user", "a"), said("assistant", "b"), said("assistant", "c")}, alternating),
            "user:a|assistant:b\n\nc");
  EXPECT_EQ(arranged({said("user", "a"), said("assistant", "b"), called({"1"}), result("1", "c")}, all_but({"AC"})),
            "user:a|assistant:b[1]|tool:c(1)");
}

TEST(MessageForm, ALateSystemStaysAtItsPlace) {
  EXPECT_EQ(arranged({said("user", "a"), said("system", "b"), said("user", "c")}, alternating), "user:a\n\nb\n\nc");
  EXPECT_EQ(arranged({said("user", "a"), said("assistant", "b"), said("system", "c")}, alternating),
            "user:a|assistant:b|user:c");
  EXPECT_EQ(arranged({said("user", "a"), said("system", "b"), said("assistant", "c")}, all_but({"US", "AS"})),
            "user:a|user:b|assistant:c");
}

TEST(MessageForm, WithoutASystemItIsTheUsers) {
  const TakesShape takes = all_but({"S"});
  EXPECT_EQ(arranged({said("system", "a"), said("user", "b")}, strictest_takes), "user:a\n\nb");
  EXPECT_EQ(arranged({said("system", "a")}, takes), "user:a");
  EXPECT_EQ(arranged({said("system", "a"), said("assistant", "b")}, takes), "user:a|assistant:b");
}

TEST(MessageForm, AUserMayFollowAResult) {
  EXPECT_EQ(arranged({said("user", "a"), called({"1"}), result("1", "b"), said("user", "c")}, all_but({"TU"})),
            "user:a|assistant:[1]|tool:b(1)|assistant:|user:c");
  EXPECT_EQ(arranged({said("user", "a"), called({"1"}), result("1", "b"), said("user", "c")}, all_but({"TU", "a"})),
            "user:a|assistant:[1]|tool:b\n\nc(1)");
}

TEST(MessageForm, TheUserComesFirstWhereThatIsWanted) {
  EXPECT_EQ(arranged({said("assistant", "a"), said("user", "b")}, alternating), "user:|assistant:a|user:b");
  EXPECT_EQ(arranged({said("system", "a"), said("assistant", "b")}, all_but({"SA"})), "system:a|user:|assistant:b");
  const auto wants_user = [](std::string_view shape) { return shape.find_first_of("Uu") != std::string_view::npos; };
  EXPECT_EQ(arranged({said("system", "a")}, wants_user), "system:a|user:");
  EXPECT_EQ(arranged({said("assistant", "a")}, wants_user, true), "user:|assistant:a");
  EXPECT_EQ(arranged({said("assistant", "a")}, all_but({}), true), "assistant:a");
}

TEST(MessageForm, CallsWithoutResultsGetSome) {
  EXPECT_EQ(
      arranged({said("user", "a"), called({"1", "2"}), said("user", "b"), result("2", "c")}, all_but({"CU", "dU"})),
      "user:a|assistant:[1,2]|tool:(1)|tool:c(2)|user:b");
  EXPECT_EQ(arranged({said("user", "a"), called({"1"})}, [](std::string_view it) { return it != "UC"; }),
            "user:a|assistant:[1]|tool:(1)");
}

TEST(MessageForm, CallsOneByOne) {
  EXPECT_EQ(arranged({said("user", "a"), called({"1", "2", "3"}, "b"), result("2", "c"), result("1", "d"),
                      result("9", "e"), said("user", "f")},
                     all_but({"d"})),
            "user:a|assistant:b[1]|tool:d(1)|assistant:[2]|tool:c(2)|assistant:[3]|tool:e(9)|user:f");
}

TEST(MessageForm, TextThatWouldBeLostGoesBeforeTheCall) {
  EXPECT_EQ(arranged({said("user", "a"), called({"1"}, "b"), result("1", "c")}, all_but({"c"})),
            "user:a|assistant:b|assistant:[1]|tool:c(1)");
  EXPECT_EQ(arranged({said("user", "a"), called({"1"}, "b"), result("1", "c")}, all_but({"c", "AC"})),
            "user:a|assistant:b|user:|assistant:[1]|tool:c(1)");
  EXPECT_EQ(arranged({said("user", "a"), called({"1"}, "b"), result("1", "c")}, all_but({"c", "AC", ">"})),
            "user:a\n\n(The assistant said: b)|assistant:[1]|tool:c(1)");
  EXPECT_EQ(arranged({said("user", "a"), called({"1"}), called({"2"}, "b")}, all_but({"c", "AC", ">"})),
            "user:a|assistant:[1]|tool:(The assistant said: b)(1)|assistant:[2]");
}

TEST(MessageForm, CallsAndResultsBecomeText) {
  EXPECT_EQ(
      arranged({said("user", "a"), called({"1"}, "b"), result("1", "c"), said("assistant", "d")}, strictest_takes),
      "user:a|assistant:b\n\nCall of look_up: {}|user:Result of look_up:\nc|assistant:d");
  EXPECT_EQ(arranged({said("user", "a"), result("", "b")}, all_but({"UT"})), "user:a|user:Result of look_up:\nb");
}

TEST(MessageForm, ManyMessagesTakeLittleTime) {
  std::vector<common_chat_msg> messages;
  for (int i = 0; i < 3000; ++i) {
    messages.push_back(said("system", "s"));
    messages.push_back(called({std::to_string(i), std::to_string(-i)}));
  }
  EXPECT_FALSE(arranged(messages, all_but({"CS", "d", "CC"})).empty());
}

}  // namespace
}  // namespace hypura
