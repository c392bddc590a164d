// Every chat template that comes with llama.cpp: a request renders its conversation twice, and its answer has the form
// that more renderings would give.
#include <gtest/gtest.h>

#include <algorithm>

#include "chat.h"
#include "chat/templates_for_test.h"
#include "output/requests_for_test.h"

namespace hypura {
namespace {

struct Asked {
  std::string name;
  AnswerRequest request;
};

ChatMessage tool_result() {
  ChatMessage result = says("tool", "-3 C");
  result.tool_name = "get_weather";
  result.tool_call_id = "abcdefgh1";
  return result;
}

// With tools only where `tools`.
std::vector<Asked> all_asked(bool tools) {
  AnswerRequest request;
  request.messages = {says("system", "Be brief."), says("user", "How warm is it in Oslo?")};
  std::vector<Asked> all = {{"a question", request}, {"no thoughts", request}, {"going on", request}};
  all[1].request.think = false;
  all[2].request.messages.push_back(says("assistant", "It is <|im_end|> "));
  if (!tools) {
    return all;
  }
  request.tools = {{"get_weather", "Tells <|im_start|> the weather.",
                    R"({"type":"object","properties":{"days":{"type":"integer","pattern":"x"}},"required":["days"]})"}};
  all.push_back({"tools", request});
  all.push_back({"a call", request});
  all.back().request.tool_choice = ToolChoice::kRequired;
  all.push_back({"no call", request});
  all.back().request.tool_choice = ToolChoice::kNone;
  request.messages.push_back(says("assistant", ""));
  request.messages.back().tool_calls = {{"abcdefgh1", "get_weather", R"({"days":1})"}};
  request.messages.push_back(tool_result());
  all.push_back({"after a result", request});
  request.messages.push_back(says("assistant", "It is cold"));
  all.push_back({"going on after a result", request});
  return all;
}

// What the parser says of a text that has a bit of everything.
std::string parsed(AnswerParser& parser, const ThinkingMarks& marks) {
  std::string told;
  const std::string thought = marks.start.empty() ? "" : marks.start + "\nHm.\n" + marks.ends.front();
  for (const std::string& text : {thought, std::string("\n\nWell, "), std::string("<tool_call>x</tool_call>")}) {
    const AnswerPiece piece = parser.add(text);
    told += "[" + piece.thinking + "|" + piece.content + "]";
  }
  const AnswerPiece rest = parser.finish();
  return told + "[" + rest.thinking + "|" + rest.content + "]";
}

void expect_same(ChatForm& form, ChatForm& other) {
  EXPECT_EQ(form.stops, other.stops);
  EXPECT_EQ(form.shown, other.shown);
  EXPECT_EQ(form.rules.prompt_end, other.rules.prompt_end);
  EXPECT_EQ(form.rules.waits, other.rules.waits);
  EXPECT_EQ(form.rules.thinks, other.rules.thinks);
  EXPECT_EQ(form.rules.thought, other.rules.thought);
  EXPECT_EQ(form.rules.thinking.start, other.rules.thinking.start);
  EXPECT_EQ(form.rules.thinking.ends, other.rules.thinking.ends);
  EXPECT_EQ(form.rules.trigger_words, other.rules.trigger_words);
  EXPECT_EQ(form.rules.forbidden, other.rules.forbidden);
  ASSERT_EQ(form.rules.forms.size(), other.rules.forms.size());
  for (size_t i = 0; i < form.rules.forms.size(); ++i) {
    EXPECT_EQ(form.rules.forms[i].rules, other.rules.forms[i].rules);
    EXPECT_EQ(form.rules.forms[i].opening, other.rules.forms[i].opening);
    EXPECT_EQ(form.rules.forms[i].begun, other.rules.forms[i].begun);
  }
  EXPECT_EQ(parsed(*form.parser, form.rules.thinking), parsed(*other.parser, other.rules.thinking));
}

// How its answers begin is known to llama.cpp.
constexpr const char* kBeginsAlike = "muse-glimmer";

class RenderingMatrix : public testing::TestWithParam<int> {};

TEST_P(RenderingMatrix, OnceForThePromptAndOnceForHowTheAnswerBegins) {
  constexpr int kParts = 4;
  const std::vector<std::string> names = template_names();
  for (size_t i = static_cast<size_t>(GetParam()); i < names.size(); i += kParts) {
    const ModelOfTemplate& model = model_of_template(names[i], VocabularyKind::kBpe);
    const bool tools = template_abilities(model.prompt().templates()).tools;
    for (const auto& [name, request] : all_asked(tools)) {
      SCOPED_TRACE(names[i] + ", " + name);
      auto whole = model.format().form(request);  // by then the template was tried, which is done once
      static_cast<void>(model.format().text(request, request.messages));
      const TemplateAllowance allowance;
      const auto rendered = model.format().render(request, request.messages);
      if (!rendered) {
        continue;
      }
      auto form = model.format().form(request, &rendered->answer);
      EXPECT_EQ(allowance.meter().renderings(), names[i] == kBeginsAlike ? 1U : 2U);
      ASSERT_EQ(form.has_value(), whole.has_value()) << (form ? whole.error().message : form.error().message);
      if (form) {
        expect_same(*form, *whole);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, RenderingMatrix, testing::Range(0, 4));

}  // namespace
}  // namespace hypura
