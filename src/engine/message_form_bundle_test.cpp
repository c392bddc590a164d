// Every order of messages with every chat template of the bundle.
#include <gtest/gtest.h>

#include <array>
#include <cctype>
#include <deque>

#include "engine/chat_templates_for_test.h"

namespace hypura {
namespace {

constexpr std::array<const char*, 4> kIds = {"call_1x2mJ9QeTn0aVbRkWc5Yd8Lz", "toolu_01A09q90qw90lq917835lq9",
                                             "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "7"};

struct Conversation {
  std::vector<ConversationMessage> messages;
  std::vector<std::string> marks;  // what must be in the prompt
  bool in_order = true;            // but for results that go to their calls where the template wants it
};

// As in message_shapes.h; e is two calls with text, and n is a result without the id of its call.
Conversation conversation(std::string_view shape) {
  Conversation made;
  std::deque<std::string> open;
  size_t ids = 0;
  const auto mark = [&] { return made.marks.emplace_back(fmt::format("mk{}km", 100 + made.marks.size())); };
  for (const char letter : shape) {
    const auto is = [&](std::string_view letters) { return letters.find(letter) != std::string_view::npos; };
    ConversationMessage& message = made.messages.emplace_back();
    message.role = is("Ss") ? "system" : is("Uu") ? "user" : is("Ttn") ? "tool" : "assistant";
    message.content = is("SUATcerqn") ? mark() : "";
    message.thinking = is("rpq") ? "A thought." : "";
    for (int i = is("de") ? 2 : is("Ccpq") ? 1 : 0; i > 0; --i) {
      open.emplace_back(kIds[ids % kIds.size()] + (ids < kIds.size() ? "" : std::to_string(ids)));
      message.tool_calls.push_back({open.back(), "look_up", fmt::format(R"({{"word":"{}"}})", mark())});
      ++ids;
    }
    made.in_order = made.in_order && !is("de");
    if (message.role == "tool") {
      const ConversationMessage* before = made.messages.size() > 1 ? &message - 1 : nullptr;
      const bool together =
          open.empty() || (before != nullptr && (before->role == "tool" || !before->tool_calls.empty()));
      made.in_order = made.in_order && together;
      message.tool_call_id = is("n") ? "" : open.empty() ? "call_unknown" : open.front();
      message.tool_name = is("n") || open.empty() ? "" : "look_up";
      if (!open.empty()) {
        open.pop_front();
      }
    }
  }
  return made;
}

// What is wrong with the prompt; empty when nothing is.
std::string fault(const TemplatedModel& model, std::string_view shape, bool tools) {
  const Conversation made = conversation(shape);
  AnswerRequest request;
  if (tools) {
    request.tools = {{"look_up", "Looks up.", R"({"type":"object","properties":{"word":{"type":"string"}}})"}};
  }
  const auto rendered = model.format->text(request, made.messages);
  if (!rendered) {
    return rendered.error().message;
  }
  size_t at = 0;
  for (const std::string& mark : made.marks) {
    const size_t found = rendered->find(mark);
    if (found == std::string::npos || rendered->find(mark, found + 1) != std::string::npos) {
      return mark + (found == std::string::npos ? " is lost in " : " is there twice in ") + *rendered;
    }
    if (made.in_order && found < at) {
      return mark + " is out of order in " + *rendered;
    }
    at = found;
  }
  return {};
}

TEST(MessageFormBundleTest, EveryOrderOfMessagesIsTaken) {
  std::vector<std::string> shapes = {"SUAU",    "USU",     "UASU",     "USAU",   "UUU",    "UCTU",         "UCTSU",
                                     "SUcTcTU", "SUdTTAU", "UeTTcTAU", "UrU",    "UqTqTU", "UCSTU",        "UaU",
                                     "uAU",     "UCtAU",   "UAAU",     "UACTAU", "UCUTU",  "UCCTTAU",      "SUUSCTUAU",
                                     "UCTTU",   "SSUSSAU", "A",        "SA",     "UCnAU",  "UCTCTCTCTCTU", "UpTUpTAU",
                                     "SUsaU",   "SCTSA",   "UCAT",     "UcAT"};
  static constexpr std::string_view kLetters = "SUACT";
  for (const char a : kLetters) {
    for (const char b : kLetters) {
      shapes.push_back({a, b});
    }
  }
  for (const std::filesystem::path& path : bundled_templates()) {
    const TemplatedModel model = TemplatedModel::of_file(path);
    ASSERT_NE(model.format, nullptr);
    for (const bool tools : {false, true}) {
      for (size_t i = 0; i < shapes.size() && (!tools || model.tools); ++i) {
        const std::string wrong = fault(model, shapes[i], tools);
        EXPECT_EQ(wrong, "") << path.stem() << ' ' << shapes[i] << (tools ? " with tools" : "");
      }
    }
  }
}

// The prompt up to the last mark in it.
std::string told(const TemplatedModel& model, const AnswerRequest& request, const Conversation& made) {
  const auto rendered = model.format->text(request, made.messages);
  EXPECT_TRUE(rendered) << rendered.error().message;
  std::string text = rendered.value_or("");
  text.resize(std::min(text.size(), text.find(made.marks.back())));
  return text;
}

TEST(MessageFormBundleTest, AConversationThatGrowsKeepsItsBeginning) {
  for (const std::filesystem::path& path : bundled_templates()) {
    const TemplatedModel model = TemplatedModel::of_file(path);
    ASSERT_NE(model.format, nullptr);
    for (const bool tools : {false, true}) {
      AnswerRequest request;
      if (tools) {
        request.tools = {{"look_up", "Looks up.", R"({"type":"object","properties":{"word":{"type":"string"}}})"}};
      }
      const std::string shape = "SUcTUcTSAUAUCTCTUSA";
      for (size_t turn = 2; turn < shape.size() && (!tools || model.tools); ++turn) {
        const std::string before = told(model, request, conversation(shape.substr(0, turn)));
        const std::string after = told(model, request, conversation(shape.substr(0, turn + 1)));
        EXPECT_EQ(after.substr(0, before.size()), before) << path.stem() << shape.substr(0, turn + 1) << tools;
      }
    }
  }
}

}  // namespace
}  // namespace hypura
