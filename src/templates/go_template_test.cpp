#include "templates/go_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "chat.h"
#include "llama/llama_runtime.h"
#include "templates/chat_templates.h"
#include "templates/go_lexer.h"

namespace hypura {
namespace {

using testing::HasSubstr;

common_chat_msg said(const std::string& role, const std::string& content) {
  common_chat_msg message;
  message.role = role;
  message.content = content;
  return message;
}

using Messages = std::vector<common_chat_msg>;

const Messages kTalk = {said("system", "Be kind."), said("user", "Hi \"you\""), said("assistant", "Hello."),
                        said("user", "Bye")};

// A call, and its result.
Messages calling() {
  common_chat_msg call = said("assistant", "");
  call.tool_calls.push_back({"look", R"({"at":"moon","times":2})", "call00001"});
  common_chat_msg result = said("tool", "It is <full>.");
  result.tool_name = "look";
  result.tool_call_id = "call00001";
  return {said("user", "What is there?"), call, result};
}

std::string rendered(const std::string& text, const Messages& messages, bool tools = false, bool think = true) {
  const auto jinja = go_template_to_jinja(text);
  if (!jinja) {
    return "refused: " + jinja.error().message;
  }
  const auto templates = text_templates(*jinja, "<s>", "</s>");
  if (!templates) {
    return "not usable: " + templates.error().message + "\n" + *jinja;
  }
  common_chat_templates_inputs inputs;
  inputs.messages = messages;
  inputs.enable_thinking = think;
  inputs.force_pure_content = true;
  if (tools) {
    inputs.tools = {{"look", "Looks.", R"({"type":"object","properties":{"at":{"type":"string"}}})"}};
  }
  const auto params = apply_templates(**templates, inputs);
  return params ? params->prompt : "failed: " + params.error().message + "\n" + *jinja;
}

class GoTemplate : public testing::Test {
 protected:
  void SetUp() override { silence_common_log(); }
};

// By turns, as the templates of early models are.
const std::string kChatMl =
    "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}{{ if .Prompt }}<|im_start|>user\n"
    "{{ .Prompt }}<|im_end|>\n{{ end }}<|im_start|>assistant\n{{ .Response }}<|im_end|>\n";
const std::string kInst =
    "[INST] {{ if .System }}{{ .System }} {{ end }}{{ .Prompt }} [/INST]{{- /* what is answered */ -}}\n {{ .Response "
    "}}";

const std::string kLlama3 =
    "{{- range $i, $_ := .Messages }}\n"
    "{{- $last := eq (len (slice $.Messages $i)) 1 }}<|start_header_id|>{{ .Role }}<|end_header_id|>\n\n"
    "{{ .Content }}{{ if not $last }}<|eot_id|>{{ end }}\n"
    "{{- if and $last (ne .Role \"assistant\") }}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    "{{ end }}\n"
    "{{- end }}";

const std::string kGemma =
    "{{- $system := \"\" }}{{- range .Messages }}{{- if eq .Role \"system\" }}{{ $system = .Content }}{{ continue }}"
    "{{ end -}}\n"
    "<start_of_turn>{{ if eq .Role \"assistant\" }}model{{ else }}{{ .Role }}{{ end }}\n"
    "{{ with $system }}{{ . }}\n\n{{ $system = \"\" }}{{ end }}{{ .Content }}<end_of_turn>\n"
    "{{ end }}<start_of_turn>model\n";

const std::string kTools =
    "{{- $lastUser := -1 -}}\n"
    "{{- range $i, $m := .Messages }}{{ if eq $m.Role \"user\" }}{{ $lastUser = $i }}{{ end }}{{ end -}}\n"
    "{{- if or .System .Tools }}<|im_start|>system\n"
    "{{ with .System }}{{ . }}\n{{ end -}}\n"
    "{{ if .Tools }}<tools>{{ range .Tools }}\n"
    "{\"function\": {{ .Function }}}{{ end }}\n"
    "</tools>{{ end }}<|im_end|>\n"
    "{{ end }}\n"
    "{{- range $i, $_ := .Messages }}\n"
    "{{- $last := eq (len (slice $.Messages $i)) 1 -}}\n"
    "{{- if eq .Role \"user\" }}<|im_start|>user\n"
    "{{ .Content }}{{ if and $.IsThinkSet (eq $i $lastUser) }}{{ if $.Think }} /think{{ else }} /no_think{{ end }}"
    "{{ end }}<|im_end|>\n"
    "{{ else if eq .Role \"assistant\" }}<|im_start|>assistant\n"
    "{{ if .Content }}{{ .Content }}\n"
    "{{- else if .ToolCalls }}{{ range .ToolCalls }}<tool_call>\n"
    "{\"name\": \"{{ .Function.Name }}\", \"arguments\": {{ .Function.Arguments }}}\n"
    "</tool_call>{{ end }}\n"
    "{{- end }}{{ if not $last }}<|im_end|>\n"
    "{{ end }}\n"
    "{{- else if eq .Role \"tool\" }}<|im_start|>user\n"
    "<tool_response>{{ .ToolName }}: {{ .Content }}</tool_response><|im_end|>\n"
    "{{ end }}\n"
    "{{- if and (ne .Role \"assistant\") $last }}<|im_start|>assistant\n"
    "{{ end }}\n"
    "{{- end }}";

TEST_F(GoTemplate, TurnsAreRenderedOneByOne) {
  EXPECT_EQ(rendered(kChatMl, kTalk),
            "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi \"you\"<|im_end|>\n<|im_start|>assistant\n"
            "Hello.<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(rendered(kInst, kTalk), "[INST] Be kind. Hi \"you\" [/INST]Hello.[INST] Bye [/INST]");
  EXPECT_EQ(rendered("User: {{ .Prompt }}\nBot: ",
                     {said("user", "A"), said("user", "B"), said("assistant", "C"), said("user", "D")}),
            "User: A\n\nB\nBot: CUser: D\nBot: ")
      << "the answer comes last where no .Response says where";
  EXPECT_EQ(
      rendered("{{ if .Prompt }}Q {{ .Prompt }} A {{ .Response }}{{ if .Response }}.{{ end }}{{ else }}-{{ end }}!",
               {said("user", "1"), said("assistant", "2"), said("user", "3")}),
      "Q 1 A 2.!Q 3 A ");
  EXPECT_EQ(rendered(kInst, {said("user", "A"), said("assistant", "And")}), "[INST] A [/INST]And")
      << "an answer that is gone on with";
}

TEST_F(GoTemplate, MessagesAreRenderedTogether) {
  EXPECT_EQ(rendered(kLlama3, kTalk),
            "<|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|><|start_header_id|>user<|end_header_id|>"
            "\n\nHi \"you\"<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|><|start_header_id|>assistant<|end_header_id|>"
            "\n\n");
  EXPECT_EQ(rendered(kGemma, kTalk),
            "<start_of_turn>user\nBe kind.\n\nHi \"you\"<end_of_turn>\n<start_of_turn>model\nHello.<end_of_turn>\n"
            "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n");
  EXPECT_EQ(rendered("{{ range .Messages }}[{{ .Role }}]{{ .Content }}{{ end }}{{ .System }}",
                     {said("system", "S"), said("user", "A"), said("user", "B"), said("system", "T")}),
            "[system]S[user]A\n\nB[system]TS\n\nT");
}

TEST_F(GoTemplate, ToolsCallsAndThinking) {
  EXPECT_EQ(rendered(kTools, calling(), true),
            "<|im_start|>system\n<tools>\n{\"function\": {\"name\":\"look\",\"description\":\"Looks.\",\"parameters\":"
            "{\"type\":\"object\",\"properties\":{\"at\":{\"type\":\"string\"}}}}}\n</tools><|im_end|>\n"
            "<|im_start|>user\nWhat is there? /think<|im_end|>\n<|im_start|>assistant\n<tool_call>\n"
            "{\"name\": \"look\", \"arguments\": {\"at\":\"moon\",\"times\":2}}\n</tool_call><|im_end|>\n"
            "<|im_start|>user\n<tool_response>look: It is <full>.</tool_response><|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(rendered(kTools, {said("user", "A")}, false, false),
            "<|im_start|>user\nA /no_think<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(rendered("{{ range .Messages }}{{ .Content }}{{ range .ToolCalls }}{{ .ID }}{{ range $k, $v := "
                     ".Function.Arguments }}<{{ $k }}={{ $v }}>{{ end }}{{ end }}{{ end }}",
                     calling()),
            "What is there?call00001<at=moon><times=2>It is <full>.");
  Messages calls = calling();
  calls.insert(calls.begin() + 1, said("assistant", "I look."));
  EXPECT_EQ(
      rendered("{{ range .Messages }}[{{ .Content }}{{ range .ToolCalls }}{{ .Function.Name }}{{ end }}]{{ end }}",
               calls),
      "[What is there?][I look.][look][It is <full>.]");
  const auto templates = text_templates(go_template_to_jinja(kTools).value(), "", "");
  EXPECT_TRUE(template_abilities(**templates).tools);
}

TEST_F(GoTemplate, AModelThatThinks) {
  const std::string text =
      "{{ range $i, $m := .Messages }}<|im_start|>{{ .Role }}\n"
      "{{ if .Thinking }}<think>\n{{ .Thinking }}\n</think>\n\n{{ end }}{{ .Content }}<|im_end|>\n"
      "{{ end }}<|im_start|>assistant\n{{ if and .IsThinkSet (not .Think) }}<think>\n\n</think>\n\n{{ end }}";
  Messages messages = {said("user", "A"), said("assistant", "B"), said("user", "C")};
  messages[1].reasoning_content = "T";
  const std::string before =
      "<|im_start|>user\nA<|im_end|>\n<|im_start|>assistant\n<think>\nT\n</think>\n\nB<|im_end|>\n"
      "<|im_start|>user\nC<|im_end|>\n<|im_start|>assistant\n";
  EXPECT_EQ(rendered(text, messages), before);
  EXPECT_EQ(rendered(text, messages, false, false), before + "<think>\n\n</think>\n\n");
  const auto templates = text_templates(go_template_to_jinja(text).value(), "", "");
  EXPECT_TRUE(template_abilities(**templates).thinking);
}

TEST_F(GoTemplate, WhatActionsMean) {
  struct Case {
    const char* action;
    const char* means;
  };
  for (const Case& it : {
           Case{"a {{- 1 }} {{ -2 -}} b {{3}}", "a1 -2b 3"},
           Case{"{{ \"{{% \\\"x\\\" \\\\ \\n\" }}{{ `\\n` }}", "{{% \"x\" \\ \n\\n"},
           Case{"{% if x %}{# y #}", "{% if x %}{# y #}"},
           Case{"{{/* {{ .Nothing }} */}}{{- /* x */ -}} y", "y"},
           Case{"{{ $a := 1 }}{{ if true }}{{ $a := 2 }}{{ $a }}{{ end }}{{ $a }}", "21"},
           Case{"{{ $a := 1 }}{{ range .Messages }}{{ $a = .Content }}{{ end }}{{ $a }}", "x"},
           Case{"{{ and 1 0 2 }}{{ or 0 \"\" 3 }}{{ not 1 }}", "03false"},
           Case{"{{ eq 1 2 1 }}{{ eq 1 2 }}{{ ne 1 2 }}{{ lt 1 2 }}{{ le 2 2 }}{{ gt 1 2 }}{{ ge 1 2 }}",
                "truefalsetruetruetruefalsefalse"},
           Case{"{{ len .Messages }}{{ len .Tools }}{{ .Messages | len }}", "101"},
           Case{"{{ (index .Messages 0).Content }}{{ with index .Messages 0 }}{{ .Role }}{{ end }}", "xuser"},
           Case{"{{ json .Tools }}{{ .Tools | json | json }}", "[]\"[]\""},
           Case{"{{ printf \"%s-%d%%\" .Suffix 3 }}{{ print \"p\" }}", "-3%p"},
           Case{"{{ range .Tools }}no{{ else }}none{{ end }}", "none"},
           Case{"{{ if .Tools }}a{{ else if false }}b{{ else if true }}c{{ else }}d{{ end }}", "c"},
           Case{"{{ with .System }}a{{ else }}b{{ end }}{{ if $s := \"t\" }}{{ $s }}{{ end }}", "bt"},
           Case{"{{ range $m := .Messages }}{{ $m.Content }}{{ break }}no{{ end }}", "x"},
           Case{"{{ $.Suffix }}{{ .ThinkLevel }}{{ .Response }}{{ .Prompt }}", ""},
           Case{"{{\nif\n.Messages\n}}y{{end}}", "y"},
       }) {
    // .Messages is named, so that nothing is done by turns.
    EXPECT_EQ(rendered(std::string("{{ if .Messages }}{{ end }}>") + it.action + "<", {said("user", "x")}),
              ">" + std::string(it.means) + "<")
        << it.action;
  }
  EXPECT_EQ(rendered("{{ .Prompt }}{{ currentDate }}", {said("user", "")}).size(), 10U);
}

TEST_F(GoTemplate, WhatHasNoCounterpartIsRefusedByNameAndPlace) {
  struct Case {
    std::string text;
    const char* says;
  };
  for (const Case& it : {
           Case{"Hello", "neither .Messages nor .Prompt"},
           Case{".Prompt", "neither .Messages nor .Prompt"},
           Case{"{{ .Prompt }}\n {{ define \"x\" }}{{ end }}",
                "line 2, column 2: {{ define \"x\" }}: 'define' is not supported"},
           Case{"{{ .Prompt }}{{ template \"x\" . }}", "'template' is not supported"},
           Case{"{{ .Prompt }}{{ .First }}", "line 1, column 14: {{ .First }}: .First is not supported"},
           Case{"{{ range .Messages }}{{ .System }}{{ end }}", ".System is not supported there"},
           Case{"{{ .Prompt }}{{ html .Prompt }}", "'html' is not supported there"},
           Case{"{{ .Prompt }}{{ $x }}", "the variable $x is not declared"},
           Case{"{{ .Prompt }}{{ if true }}{{ $x := 1 }}{{ end }}{{ $x }}", "the variable $x is not declared"},
           Case{"{{ .Prompt }}{{ $x = 1 }}", "the variable $x is not declared"},
           Case{"{{ .Prompt }}{{ . }}", "all that the template is given"},
           Case{"{{ .Prompt }}{{ json $ }}", "all that the template is given"},
           Case{"{{ .Prompt }}{{ break }}", "'break' is not supported there"},
           Case{"{{ .Prompt }}{{ if true }}", "a block is not closed"},
           Case{"{{ .Prompt }}{{ end }}", "no block that it belongs to"},
           Case{"{{ .Prompt }}{{ if true }}{{ else }}{{ else }}{{ end }}", "the block has two of it"},
           Case{"{{ .Prompt }}{{ with 1 }}{{ else with 2 }}{{ end }}", "that branch is not supported"},
           Case{"{{ .Prompt }}{{ eq 1 }}", "eq is given 1 values"},
           Case{"{{ .Prompt }}{{ .System 1 }}", "no function is given a value"},
           Case{"{{ .Prompt }}{{ 1 | .System }}", "no function is given a value"},
           Case{"{{ .Prompt }}{{ (1 }}", "a bracket is not closed"},
           Case{"{{ .Prompt }}{{ 1 ) }}", "')' does not belong there"},
           Case{"{{ .Prompt }}{{ }}", "a value is missing"},
           Case{"{{ .Prompt }}{{ 0x1F }}", "the number 0x1F is not supported"},
           Case{"{{ .Prompt }}{{ 'x' }}", "''' does not belong there"},
           Case{"{{ .Prompt }}{{ \"a\n\" }}", "a text in quotes is not closed"},
           Case{"{{ .Prompt }}{{ \"\\x41\" }}", "the escape \\x is not supported"},
           Case{"{{ .Prompt }}{{ printf \"%q\" 1 }}", "printf takes %s"},
           Case{"{{ .Prompt }}{{ .Prompt", "line 1, column 14: the action that begins there: it is not closed"},
           Case{"{{ .Prompt }}{{/* x", "it is not closed"},
           Case{"{{ .Prompt }}" + std::string(1, '\0'), "zero byte"},
       }) {
    EXPECT_THAT(rendered(it.text, kTalk), HasSubstr(it.says)) << it.text;
  }
}

TEST_F(GoTemplate, WhatIsHostileIsBounded) {
  const auto times = [](size_t count, const std::string& text) {
    std::string all;
    for (size_t i = 0; i < count; ++i) {
      all += text;
    }
    return all;
  };
  for (const std::string& text : {
           "{{ .Prompt }}" + times(5000, "{{ if 1 }}"),
           "{{ .Prompt }}{{ " + times(20'000, "("),
           "{{ .Prompt }}{{ " + times(20'000, "not "),
           "{{ .Prompt }}{{ 1 " + times(15'000, "| not"),
           "{{ .Prompt }}" + times(16'000, "{{$}}"),
           "{{ .Prompt }}" + times(10'000, "{{ 1 }}"),
           "{{ .Prompt }}" + times(400, "{{ if 1 }}{{ else ") + times(400, "{{ end }}"),
           "{{ .Prompt }}" + times(100'000, "x"),
           times(16'000, "{{- "),
       }) {
    EXPECT_THAT(rendered(text, kTalk), testing::ContainsRegex("^(refused|not usable)")) << text.substr(0, 40);
  }
  const TemplateAllowance allowance({.steps = 100'000, .seconds = 5, .bytes = size_t{8} << 20});
  EXPECT_THAT(rendered("{{ range .Messages }}{{ range $.Messages }}{{ range $.Messages }}{{ range $.Messages }}x"
                       "{{ end }}{{ end }}{{ end }}{{ end }}",
                       Messages(201, said("tool", "x"))),
              HasSubstr("failed: "));
}

TEST_F(GoTemplate, TheLanguageIsKnown) {
  for (const char* go : {"{{ .Prompt }}", "{{- range .Messages }}{{ end }}", "{{$x := 1}}{% x %}", "{{if .System}}",
                         "{{/* x */}}", "Hello", "{{ end }}"}) {
    EXPECT_TRUE(is_go_template(go)) << go;
  }
  for (const char* jinja : {"{% for m in messages %}{{ m.content }}{% endfor %}", "{{ messages }}",
                            "{{- bos_token }}{%- if tools %}x{% endif %}", "{{ messages[0]['content'] }}",
                            "{{ range(3) }}{{ iffy }}{{ messages }}"}) {
    EXPECT_FALSE(is_go_template(jinja)) << jinja;
    EXPECT_EQ(template_as_jinja(jinja).value(), jinja);
  }
  EXPECT_NE(template_as_jinja("{{ .Prompt }}").value(), "{{ .Prompt }}");
  EXPECT_FALSE(template_as_jinja("Hello"));
}

}  // namespace
}  // namespace hypura
