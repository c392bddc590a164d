// Every order of messages with every chat template of the bundle.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cctype>
#include <deque>

#include "chat/chat_templates_for_test.h"
#include "support/occurrences.h"

namespace hypura {
namespace {

constexpr std::array<const char*, 4> kIds = {"call_1x2mJ9QeTn0aVbRkWc5Yd8Lz", "toolu_01A09q90qw90lq917835lq9",
                                             "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "7"};

struct Conversation {
  std::vector<ChatMessage> messages;
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
    ChatMessage& message = made.messages.emplace_back();
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
      const ChatMessage* before = made.messages.size() > 1 ? &message - 1 : nullptr;
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

const AnswerRequest& with_tool() {
  static const AnswerRequest kRequest = [] {
    AnswerRequest request;
    request.tools = {{"look_up", "Looks up.", R"({"type":"object","properties":{"word":{"type":"string"}}})"}};
    return request;
  }();
  return kRequest;
}

// What is wrong with the prompt; empty when nothing is.
std::string fault(const TemplatedModel& model, std::string_view shape, bool tools) {
  const Conversation made = conversation(shape);
  const auto rendered = model.format->text(tools ? with_tool() : AnswerRequest(), made.messages);
  if (!rendered) {
    return rendered.error().message;
  }
  if (tools) {
    const auto shortest = model.format->text(with_tool(), conversation("U").messages);
    if (occurrences(*rendered, "Looks up.") > std::max<size_t>(1, occurrences(shortest.value_or(""), "Looks up."))) {
      return "the tools are told again in " + *rendered;
    }
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

// The prompt up to the last mark in it.
std::string told(const TemplatedModel& model, const AnswerRequest& request, const Conversation& made) {
  const auto rendered = model.format->text(request, made.messages);
  EXPECT_TRUE(rendered) << rendered.error().message;
  std::string text = rendered.value_or("");
  text.resize(std::min(text.size(), text.find(made.marks.back())));
  return text;
}

// Templates that by their own design write otherwise what came before the user's latest message: without the marks of
// thinking, or with the tools before it.
bool rewrites_at_each_user(const std::string& name, bool tools) {
  const auto is = [&](std::string_view it) { return name.find(it) != std::string::npos; };
  return is("Qwen3.5") || is("StepFun3.5") || is("DeepSeek-V3.2") ||
         (tools && (is("Mistral-Small-3.2") || is("Mistral-Nemo")));
}

// A share of the bundle's templates, so that shares can be tested side by side.
class MessageFormBundle : public testing::TestWithParam<size_t> {
 protected:
  static constexpr size_t kShares = 8;

  void SetUp() override {
    const std::vector<std::filesystem::path> paths = bundled_templates();
    ASSERT_GT(paths.size(), 60U);
    for (size_t i = GetParam(); i < paths.size(); i += kShares) {
      models_.emplace_back(paths[i].stem().string(), TemplatedModel::of_file(paths[i]));
      ASSERT_NE(models_.back().second.format, nullptr);
    }
  }

  void expect_all(const std::string& name, const TemplatedModel& model, bool tools,
                  const std::vector<const char*>& shapes) {
    for (const char* shape : shapes) {
      EXPECT_EQ(fault(model, shape, tools), "") << name << ' ' << shape << (tools ? " with tools" : "");
    }
  }

  void expect_to_keep_beginnings(const std::string& name, const TemplatedModel& model, bool tools) {
    const std::vector<std::string> turns = {"SU", "SUcT", "SUcTcTCT", "SUcTcTCTUS", "SUcTcTCTUSCT", "SUcTcTCTUSCTAU"};
    const AnswerRequest request = tools ? with_tool() : AnswerRequest();
    for (size_t turn = 1; turn < turns.size(); ++turn) {
      const bool new_user = turns[turn].find('U', turns[turn - 1].size()) < std::string::npos;
      const std::string before = told(model, request, conversation(turns[turn - 1]));
      const std::string after = told(model, request, conversation(turns[turn]));
      if (!new_user || !rewrites_at_each_user(name, tools)) {
        EXPECT_EQ(after.substr(0, before.size()), before) << name << ' ' << turns[turn] << tools;
      }
    }
  }

  std::vector<std::pair<std::string, TemplatedModel>> models_;
};

TEST_P(MessageFormBundle, TakesEveryOrderOfMessages) {
  for (const auto& [name, model] : models_) {
    expect_all(
        name, model, model.tools,
        {"S",       "A",       "C",        "T",         "SA",          "AC",      "CA",     "UT",       "AS",
         "UUU",     "SUAU",    "USU",      "UASU",      "USAU",        "UCTU",    "UCTSU",  "SSU",      "UrU",
         "UaU",     "uAU",     "UAAU",     "UCSTU",     "UCtAU",       "UACTAU",  "UCUTU",  "UCTTU",    "UCAT",
         "UcAT",    "SUsaU",   "SCTSA",    "UCnAU",     "SCTU",        "SSUSSAU", "UqTqTU", "UpTUpTAU", "UCCTTAU",
         "SUcTcTU", "SUdTTAU", "UeTTcTAU", "SUUSCTUAU", "UCTCTCTCTCTU"});
    expect_to_keep_beginnings(name, model, model.tools);
    if (model.tools) {  // a history of calls, but nothing to call now
      expect_all(name, model, false, {"S", "UASU", "SUUAU", "SUcTcTU", "UdTTSAU", "UACTAU"});
    }
  }
}

TEST_P(MessageFormBundle, TakesEveryWishForThinking) {
  std::vector<ThinkingWish> wishes = {{true, "", {}}, {false, "", {}}, {true, "", 2000}, {false, "high", {}}};
  for (const std::string_view effort : kEfforts) {
    wishes.push_back({true, std::string(effort), {}});
  }
  const std::vector<std::string> with_levels = {"gpt-oss", "Hy3", "Solar", "Kimi-K3", "Seed-OSS", "V4", "muse"};
  for (const auto& [name, model] : models_) {
    std::vector<std::string> prompts;
    for (const ThinkingWish& wish : wishes) {
      AnswerRequest request;
      request.think = wish.think;
      request.effort = wish.effort;
      request.thinking_budget = wish.budget;
      const auto text = model.format->text(request, conversation("SUAU").messages);
      EXPECT_TRUE(text) << name << ' ' << wish.effort << ": " << text.error().message;
      prompts.push_back(text.value_or(""));
    }
    const auto known = [&, &name = name](const std::string& it) { return name.find(it) != std::string::npos; };
    if (std::any_of(with_levels.begin(), with_levels.end(), known)) {
      EXPECT_NE(prompts[5], prompts.back()) << name;  // low and max
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shares, MessageFormBundle, testing::Range(size_t{0}, size_t{8}));

}  // namespace
}  // namespace hypura
