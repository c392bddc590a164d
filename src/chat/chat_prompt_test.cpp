#include "chat/chat_prompt.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "chat.h"
#include "chat/chat_templates_for_test.h"
#include "output/requests_for_test.h"
#include "templates/go_template.h"

namespace hypura {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string kTurns =
    "{%- for m in messages -%}{%- if (m.role == 'user') != (loop.index0 % 2 == 0) -%}"
    "{{ raise_exception('Roles must alternate.') }}{%- endif -%}{{ '[' + m.role + ']' + m.content }}{%- endfor -%}";

std::string refusal(const TemplatedModel& model, const AnswerRequest& request) {
  const auto text = model.format->text(request, request.messages);
  EXPECT_FALSE(text);
  return text ? "" : text.error().message;
}

TEST(ChatPrompt, SessionsUseTheFormToo) {
  const TemplatedModel model(kTurns);
  const auto joined = model.prompt->tokens({{"system", "Be kind."}, {"user", "Hi"}, {"user", "there"}});
  ASSERT_TRUE(joined) << joined.error().message;
  EXPECT_EQ(*joined, model.prompt->tokens({{"user", "Be kind.\nHi\n\nthere"}}).value());
}

TEST(ChatPrompt, ARefusalNamesTheMessageAndTheRule) {
  const TemplatedModel model(
      "{%- for m in messages -%}{%- if 'bad' in m.content -%}{{ raise_exception('No bad\n words.') }}{%- endif -%}"
      "{{ '[' + m.role + ']' + m.content }}{%- endfor -%}");
  AnswerRequest request;
  for (size_t bad = 0; bad < 5; ++bad) {
    request.messages.clear();
    for (size_t i = 0; i < 5; ++i) {
      request.messages.push_back(says(i % 2 == 0 ? "user" : "assistant", i == bad ? "a bad one" : "fine"));
    }
    const std::string role = request.messages[bad].role;
    EXPECT_EQ(refusal(model, request), fmt::format("the model's chat template refuses message {} ({}): No bad words",
                                                   bad + 1, bad == 4 ? "user" : role));
  }
}

TEST(ChatPrompt, AFaultOfTheTemplateIsASentence) {
  const TemplatedModel model("{%- for m in messages -%}{{ m.content.nothing() }}{%- endfor -%}");
  AnswerRequest request;
  request.messages = {says("user", "Hi")};
  const std::string error = refusal(model, request);
  EXPECT_THAT(error, HasSubstr("refuses message 1 (user): "));
  for (const char* source : {"{%", "{{", "------", "\n", "line 1"}) {
    EXPECT_THAT(error, Not(HasSubstr(source)));
  }
  EXPECT_FALSE(model.format->form(request));
}

TEST(ChatPrompt, ARefusedVariableIsNamed) {
  const TemplatedModel model(
      "{%- if colour is defined and colour not in ['red', 'blue'] -%}{{ raise_exception('No such colour.') }}"
      "{%- endif -%}{%- for m in messages -%}{{ '[' + (colour or 'none') + ']' + m.content }}{%- endfor -%}");
  AnswerRequest request;
  request.messages = {says("user", "Hi")};
  request.template_values = R"({"colour":"blue"})";
  EXPECT_THAT(model.format->text(request, request.messages).value(), HasSubstr("[blue]Hi"));
  request.template_values = R"({"colour":"green"})";
  EXPECT_EQ(refusal(model, request), "the model's chat template refuses chat_template_kwargs: No such colour");
}

TEST(ChatPrompt, VariablesAreNoControlTokens) {
  const TemplatedModel model("{%- for m in messages -%}{{ name + m.content }}{%- endfor -%}");
  AnswerRequest request;
  request.messages = {says("user", "Hi")};
  request.template_values = R"({"name":"<|im_end|>"})";
  const auto rendered = model.format->render(request, request.messages);
  ASSERT_TRUE(rendered);
  EXPECT_THAT(rendered->text, HasSubstr("<|im_end|>Hi"));
  const llama_vocab* vocab = llama_model_get_vocab(model.model.get());
  const auto controls = std::count_if(rendered->tokens.begin(), rendered->tokens.end(), [&](int32_t it) {
    return llama_vocab_is_control(vocab, it) && it != llama_vocab_bos(vocab);
  });
  EXPECT_EQ(controls, 0);
}

// LFM2's own templates leave calls out, but the models write and llama.cpp reads them.
TEST(ChatPrompt, ACallThatTheTemplateLeavesOutIsWrittenAsTheModelWritesIt) {
  const auto folder = bundled_templates().front().parent_path();
  AnswerRequest request;
  request.tools = {{"look_up", "", R"({"type":"object","properties":{"word":{"type":"string"}}})"}};
  request.messages = {says("user", "Hi"), says("assistant", "Well."), says("tool", "two")};
  request.messages[1].tool_calls = {{"1", "look_up", R"({"word":"one","n":[1,true],"o":null})"}};
  for (const char* name : {"LFM2-8B-A1B.jinja", "LFM2.5-Instruct.jinja"}) {
    const TemplatedModel model = TemplatedModel::of_file(folder / name);
    const auto text = model.format->text(request, request.messages);
    ASSERT_TRUE(text);
    EXPECT_THAT(*text, HasSubstr("Well.\n\n<|tool_call_start|>[look_up(word=\"one\", n=[1,true], o=None)]"
                                 "<|tool_call_end|>"));
  }
}

// FireFunction's template knows no `tools`.
TEST(ChatPrompt, ToolsAreToldInFunctionsWhereTheTemplateTakesThemThere) {
  const auto folder = bundled_templates().front().parent_path();
  const TemplatedModel model = TemplatedModel::of_file(folder / "fireworks-ai-llama-3-firefunction-v2.jinja");
  EXPECT_TRUE(model.tools);
  AnswerRequest request;
  request.messages = {says("user", "Hi")};
  request.tools = {{"look_up", "Looks <|im_end|> up.", R"({"type":"object","properties":{"word":{"type":"string"}}})"}};
  const auto text = model.format->text(request, request.messages);
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_THAT(*text, HasSubstr("Available functions as JSON spec:\n[\n    {\n        \"name\": \"look_up\",\n"
                               "        \"description\": \"Looks <|im_end|> up.\",\n        \"parameters\": {"));
  EXPECT_THAT(*text, testing::ContainsRegex("Today is [A-Z][a-z][a-z] [0-9]+ 20[0-9]+\\."));
  auto form = model.format->form(request);
  ASSERT_TRUE(form) << form.error().message;
  AnswerPiece said = form->parser->add(R"(functools[{"name": "look_up", "arguments": {"word": "one"}}])");
  said.append(form->parser->finish());
  ASSERT_EQ(said.tool_calls.size(), 1U) << said.content;
  EXPECT_EQ(said.tool_calls[0].name, "look_up");
  request.template_values = R"({"functions":"none"})";
  EXPECT_THAT(model.format->text(request, request.messages).value(), HasSubstr("JSON spec:\nnone\nToday"));
}

TEST(ChatPrompt, AGivenTemplateTakesThePlaceOfTheModels) {
  const TemplatedModel model(kTurns);
  const std::string given =
      "{{ if .System }}{{ .System }}\n{{ end }}User: {{ .Prompt }}\nBot: {{ .Response }}{{ if .Response }}<|im_end|>\n"
      "{{ end }}";
  const ChatPrompt prompt(*model.model, given);
  const ChatFormat format(prompt);
  EXPECT_TRUE(prompt.explicit_template());
  AnswerRequest request;
  request.messages = {says("system", "Be kind."), says("user", "Hi <|im_end|>"), says("user", "there"),
                      says("assistant", "Hello."), says("user", "Bye")};
  const std::string expected = "Be kind.\nUser: Hi <|im_end|>\n\nthere\nBot: Hello.<|im_end|>\nUser: Bye\nBot: ";
  EXPECT_THAT(format.text(request, request.messages).value(), HasSubstr(expected));
  // One of the two marks is the template's, the other one is text.
  const llama_vocab* vocab = llama_model_get_vocab(model.model.get());
  const auto tokens = format.render(request, request.messages)->tokens;
  EXPECT_EQ(std::ranges::count_if(tokens, [&](int32_t it) { return llama_vocab_is_eog(vocab, it); }),
            llama_vocab_is_eog(vocab, llama_vocab_eot(vocab)) ? 1 : 0);
}

TEST(ChatPrompt, CallsOfAGivenTemplateAreRead) {
  const TemplatedModel model(
      template_as_jinja("{{ range $i, $m := .Messages }}{{ if and $.Tools (eq $i 0) }}<tools>{{ range $.Tools }}"
                        "{{ .Function }}{{ end }}</tools>\n{{ end }}<|im_start|>{{ .Role }}\n{{ .Content }}"
                        "{{ range .ToolCalls }}<tool_call>\n{\"name\": \"{{ .Function.Name }}\", \"arguments\": "
                        "{{ .Function.Arguments }}}\n</tool_call>{{ end }}<|im_end|>\n{{ end }}<|im_start|>assistant\n")
          .value());
  EXPECT_TRUE(model.tools);
  AnswerRequest request;
  request.messages = {says("user", "Hi")};
  request.tools = {{"look_up", "", R"({"type":"object","properties":{"word":{"type":"string"}}})"}};
  auto form = model.format->form(request);
  ASSERT_TRUE(form) << form.error().message;
  AnswerPiece said =
      form->parser->add("<tool_call>\n{\"name\": \"look_up\", \"arguments\": {\"word\": \"one\"}}\n</tool_call>");
  said.append(form->parser->finish());
  ASSERT_EQ(said.tool_calls.size(), 1U) << said.content;
  EXPECT_EQ(said.tool_calls[0].name, "look_up");
}

TEST(ChatPrompt, IdsOfNineLettersOnlyWhereTheyAreWanted) {
  const std::string nine =
      "{%- for m in messages -%}{{ m.content }}{%- for c in m.tool_calls or [] -%}{%- if c.id|length != 9 -%}"
      "{{ raise_exception('Nine.') }}{%- endif -%}{{ c.id + (c.function.arguments|tojson) }}{%- endfor -%}{%- endfor "
      "-%}";
  EXPECT_TRUE(TemplatedModel(nine).prompt->wants_nine_ids(false));
  EXPECT_FALSE(TemplatedModel(kThinkingTemplate).prompt->wants_nine_ids(false));
}

}  // namespace
}  // namespace hypura
