#include "server/anthropic/billing_header.h"

#include <gtest/gtest.h>

#include <string>

#include "server/anthropic/request.h"

namespace hypura::anthropic {
namespace {

TEST(BillingHeader, ItsLineGoesAndNothingElse) {
  const std::pair<const char*, const char*> cases[] = {
      {"", ""},
      {"You are kind.\n", "You are kind.\n"},
      {"x-anthropic-billing-header: cc_version=2.1.42.abc; cc_entrypoint=cli; cch=1d3c5;", ""},
      {"x-anthropic-billing-header: cc_version=2.1.42; cch=1d3c5;\nYou are kind.", "You are kind."},
      {"You are kind.\nx-anthropic-billing-header: cch=1d3c5;\nBe brief.", "You are kind.\nBe brief."},
      {"You are kind.\r\nX-Anthropic-Billing-Header:cch=1d3c5;\r\nBe brief.", "You are kind.\r\nBe brief."},
      {"You are kind.\n  x-anthropic-billing-header: a=b; cch=1d3c5", "You are kind.\n"},
      {"x-anthropic-billing-header: cc_version=2.1.42; cch=1d3c5; You are kind.\nBe brief.",
       "You are kind.\nBe brief."},
      {"x-anthropic-billing-header: something new\nBe brief.", "Be brief."},
      {"The header x-anthropic-billing-header: cch=1; is not for you.",
       "The header x-anthropic-billing-header: cch=1; is not for you."},
      {"x-anthropic-other: a=b;\n\n", "x-anthropic-other: a=b;\n\n"},
  };
  for (const auto& [text, rest] : cases) {
    EXPECT_EQ(without_billing_header(text), rest) << text;
  }
}

// Two requests that differ in it alone have one prompt.
TEST(BillingHeader, IsLeftOutWhereverItStands) {
  const auto messages = [](std::string fields, const std::string& number) {
    for (size_t at = fields.find('#'); at != std::string::npos; at = fields.find('#')) {
      fields.replace(at, 1, "x-anthropic-billing-header: cc_version=2.1.42." + number + "; cch=" + number + ";");
    }
    const auto request = read_messages_request(
        parse_json(R"({"model":"m","max_tokens":9,)" + fields + "}").value_or(Json()), RequestUse::kAnswer, 0);
    EXPECT_TRUE(request) << fields;
    std::string told;
    for (const ChatMessage& message : request->answer.messages) {
      told += message.role + ": " + message.content + "\n";
    }
    return told;
  };
  const std::string hi = R"(,"messages":[{"role":"user","content":"Hi"}])";
  const std::pair<std::string, std::string> cases[] = {
      {R"("system":"#")" + hi, "user: Hi\n"},
      {R"("system":"#\nYou are kind.")" + hi, "system: You are kind.\nuser: Hi\n"},
      {R"("system":[{"type":"text","text":"#"},{"type":"text","text":"You are kind."}])" + hi,
       "system: You are kind.\nuser: Hi\n"},
      {R"("system":[{"type":"text","text":"Be\n#\nbrief.","cache_control":{"type":"ephemeral"}}])" + hi,
       "system: Be\nbrief.\nuser: Hi\n"},
      {R"("messages":[{"role":"system","content":[{"type":"text","text":"#\nKind."}]},{"role":"user","content":"Hi"}])",
       "system: Kind.\nuser: Hi\n"},
  };
  for (const auto& [fields, told] : cases) {
    EXPECT_EQ(messages(fields, "1d3c5"), told);
    EXPECT_EQ(messages(fields, "fffff"), told);
  }
}

}  // namespace
}  // namespace hypura::anthropic
