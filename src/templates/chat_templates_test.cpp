#include "templates/chat_templates.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "chat.h"
#include "llama/llama_runtime.h"
#include "llama/models_for_test.h"

namespace hypura {
namespace {

const std::filesystem::path kTemplates =
    std::filesystem::path(HYPURA_SOURCE_DIR) / "deps" / "llama.cpp" / "models" / "templates";

// So that what never ends is refused soon.
constexpr TemplateLimits kSmall = {.steps = 10'000, .seconds = 5, .bytes = size_t{8} << 20, .depth = 400};

common_chat_msg message_of(const std::string& role, const std::string& content) {
  common_chat_msg message;
  message.role = role;
  message.content = content;
  return message;
}

// A short conversation of an agent's. Without the analysis of the answer's form, which takes long.
common_chat_templates_inputs agent_inputs() {
  common_chat_templates_inputs inputs;
  common_chat_msg call = message_of("assistant", "I read it.");
  call.reasoning_content = "Which file?";
  call.tool_calls.push_back({"read", R"({"path": "/a", "lines": [1, {"to": 2}], "all": true})", "call00001"});
  common_chat_msg result = message_of("tool", "One line.\nAnother.");
  result.tool_name = "read";
  result.tool_call_id = "call00001";
  inputs.messages = {message_of("system", "Be brief."),
                     message_of("user", "Read the file."),
                     call,
                     result,
                     message_of("assistant", "It has two lines."),
                     message_of("user", "Thanks.")};
  inputs.tools.push_back({"read", "Reads a file", R"({"type": "object", "properties": {"path": {"type": "string"},
    "lines": {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "object", "properties": {}}]}},
    "kind": {"enum": ["a", "b"], "description": "Which"}}, "required": ["path"]})"});
  inputs.force_pure_content = true;
  inputs.chat_template_kwargs["functions"] = R"("none")";  // else FireFunction's template is given the tools there
  return inputs;
}

common_chat_templates_inputs question(const std::string& text) {
  common_chat_templates_inputs inputs;
  inputs.messages = {message_of("user", text)};
  inputs.force_pure_content = true;
  return inputs;
}

struct Rendered {
  std::string prompt;
  bool failed = false;

  bool operator==(const Rendered& other) const = default;
};

Rendered uncounted(const common_chat_templates* templates, const common_chat_templates_inputs& inputs) {
  try {
    return {common_chat_templates_apply(templates, inputs).prompt};
  } catch (const std::exception&) {
    return {"", true};
  }
}

Rendered counted(const common_chat_templates& templates, const common_chat_templates_inputs& inputs) {
  const auto params = apply_templates(templates, inputs);
  return params ? Rendered{params->prompt} : Rendered{"", true};
}

class ChatTemplates : public testing::Test {
 protected:
  void SetUp() override { silence_common_log(); }
};

TEST_F(ChatTemplates, ThoseOfLlamaRenderAsWithoutCounting) {
  size_t rendered = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kTemplates)) {
    if (entry.path().extension() != ".jinja") {
      continue;
    }
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const auto templates = text_templates(text, "<s>", "</s>");
    ASSERT_TRUE(templates) << entry.path() << ": " << templates.error().message;
    const auto plain = common_chat_templates_init(nullptr, text, "<s>", "</s>");
    EXPECT_EQ(common_chat_templates_get_caps(templates->get()), common_chat_templates_get_caps(plain.get()));
    for (const auto& inputs : {agent_inputs(), question("Hello.")}) {
      const Rendered expected = uncounted(plain.get(), inputs);
      EXPECT_TRUE(counted(**templates, inputs) == expected) << entry.path();
      rendered += expected.failed ? 0 : 1;
    }
  }
  EXPECT_GT(rendered, 80U);
}

// Each with what it must be refused for.
const std::map<std::string, std::pair<std::string, std::string>> kHostile = {
    {"a macro that calls itself", {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "levels deep"}},
    {"macros that call each other",
     {"{% macro a(x) %}{{ b(x) }}{% endmacro %}{% macro b(x) %}{{ a(x) }}{% endmacro %}{{ a(1) }}", "levels deep"}},
    {"a macro that calls itself by its caller",
     {"{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{{ m() }}", "levels deep"}},
    {"a macro that doubles its calls",
     {"{% macro m(n) %}{% if n > 0 %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(100) }}", "steps"}},
    {"loops within loops",
     {"{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}{% endfor %}{% endfor %}"
      "{% endfor %}",
      "steps"}},
    {"a long range", {"{% for i in range(1000000000) %}{% endfor %}", "counts to"}},
    {"a long range by another name", {"{% set r = range %}{{ r(0, 9000000000000000000, 1) }}", "large"}},
    {"a long range by a call block", {"{% call range(1000000000) %}{% endcall %}", "counts to"}},
    {"a long range backwards", {"{% set x = range(0, -1000000000, -1) %}", "counts to"}},
    {"text times a number", {"{% set x = 'x' * 10000000000 %}", "MiB"}},
    {"a number times text", {"{{ 10000000000 * 'x' }}", "MiB"}},
    {"text that doubles",
     {"{% set ns = namespace(s='x') %}{% for i in range(64) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}", "MiB"}},
    {"empty text that doubles",
     {"{% set ns = namespace(s='') %}{% for i in range(64) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}", "MiB"}},
    {"lists that double",
     {"{% set ns = namespace(l=[1]) %}{% for i in range(64) %}{% set ns.l = ns.l + ns.l %}{% endfor %}", ""}},
    {"lists of themselves twice",
     {"{% set ns = namespace(l=[1]) %}{% for i in range(64) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}"
      "{{ ns.l | tojson }}",
      ""}},
    {"many texts",
     {"{% set l = [] %}{% for i in range(5000) %}{% set x = l.append('abcdefghij' * 1000 ~ i) %}{% endfor %}", "MiB"}},
    {"output without end", {"{% for i in range(5000) %}" + std::string(5000, 'x') + "{% endfor %}", "MiB"}},
    {"captured output",
     {"{% set ns = namespace(l=[]) %}{% for i in range(5000) %}{% set x %}" + std::string(20000, 'x') +
          "{% endset %}{% set ns.l = ns.l + [x] %}{% endfor %}",
      "MiB"}},
    {"a wide indent", {"{{ 'a\\nb' | indent(10000000000) }}", "MiB"}},
    {"a wide indent by a method", {"{{ 'a\\nb'.indent(width=10000000000) }}", "MiB"}},
    {"json with a wide indent", {"{{ [[1]] | tojson(indent=1000000000) }}", "MiB"}},
    {"replacing nothing by much", {"{% set x = 'x' * 100000 %}{{ x | replace('', x) }}", "MiB"}},
    {"replacing nothing by much, by a method", {"{% set x = 'x' * 100000 %}{{ x.replace('', x) }}", "MiB"}},
    {"splitting at each character", {"{% set x = ('ab' * 100000).split('a') %}", "MiB"}},
    {"joining with much", {"{{ range(1000) | join('x' * 100000) }}", "MiB"}},
    {"a list that holds itself", {"{% set l = [] %}{% set x = l.append(l) %}{{ l }}", "itself"}},
    {"an object that holds itself", {"{% set ns = namespace() %}{% set ns.a = ns %}{{ ns | tojson }}", "itself"}},
    {"a circle of two", {"{% set a = [] %}{% set b = [a] %}{% set x = a.append(b) %}{{ a | string }}", "itself"}},
    {"values within values",
     {"{% set ns = namespace(l=[]) %}{% for i in range(2000) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l }}",
      "nested"}},
    {"objects within objects",
     {"{% set ns = namespace(o={}) %}{% for i in range(2000) %}{% set ns.o = {'a': ns.o} %}{% endfor %}", "nested"}},
    {"namespaces within namespaces",
     {"{% set ns = namespace() %}{% for i in range(2000) %}{% set x = namespace(a=ns.x) %}{% set ns.x = x %}"
      "{% endfor %}",
      "nested"}},
    {"a chain that grows at its end",
     {"{% set ns = namespace(t=[]) %}{% set head = ns.t %}{% for i in range(100000) %}{% set n = [] %}"
      "{% set x = ns.t.append(n) %}{% set ns.t = n %}{% endfor %}{{ head | tojson }}",
      ""}},
    {"dividing by zero", {"{{ 4 is divisibleby(0) }}", "divides"}},
    {"dividing by zero in a filter", {"{{ [4] | select('divisibleby', 0) | list }}", "divides"}},
    {"sorting what has no order", {"{% set n = 0 / 0 %}{{ [1, n, 2, n, 3] | sort }}", "sorts"}},
    {"sorting numbers with text", {"{{ [2, 10, '1a', 2, 10, '1a'] | sort }}", "sorts"}},
    {"a slice without an end", {"{{ 'abc'[0:-1:-9223372036854775807] }}", "large"}},
    {"brackets within brackets", {"{{ " + std::string(100000, '(') + "1" + std::string(100000, ')') + " }}", "nested"}},
    {"lists within lists", {"{{ " + std::string(100000, '[') + std::string(100000, ']') + " }}", "nested"}},
    {"a long text", {std::string(300000, 'x'), "larger"}},
    {"a chain of callers",
     {"{% set ns = namespace() %}{% macro m() %}{% set ns.c = caller %}{% endmacro %}{% call m() %}{% endcall %}",
      "caller"}},
};

std::string repeated(const std::string& text, size_t times) {
  std::string result;
  for (size_t i = 0; i < times; ++i) {
    result += text;
  }
  return result;
}

TEST_F(ChatTemplates, WhatNeverEndsIsRefused) {
  for (const auto& [name, hostile] : kHostile) {
    const TemplateAllowance allowance(kSmall);
    const auto templates = text_templates(hostile.first, "", "");
    ASSERT_FALSE(templates) << name;
    EXPECT_NE(templates.error().message.find(hostile.second), std::string::npos)
        << name << ": " << templates.error().message;
  }
}

TEST_F(ChatTemplates, SourcesThatNestAreRefused) {
  for (const char* part : {"1 + ", "not ", "a | lower | ", "1 if a else ", "f()() ~ ", "a.b.c == "}) {
    EXPECT_FALSE(text_templates("{{ " + repeated(part, 5000) + "1 }}", "", "")) << part;
  }
  EXPECT_FALSE(text_templates("{{ a" + repeated("()", 5000) + " }}", "", ""));
  EXPECT_FALSE(text_templates("{{ a" + repeated("[0]", 5000) + " }}", "", ""));
  EXPECT_FALSE(text_templates(repeated("{% if a %}", 5000) + repeated("{% endif %}", 5000), "", ""));
  EXPECT_FALSE(text_templates("{% if a %}" + repeated("{% elif b %}", 5000) + "{% endif %}", "", ""));
  EXPECT_FALSE(text_templates(repeated("\r\n", 60000), "", ""));
}

// At first they do as others do.
TEST_F(ChatTemplates, WhatEndsOnlySometimesIsRefusedThen) {
  for (const auto& [name, hostile] : kHostile) {
    if (hostile.first.size() > 50000) {
      continue;
    }
    const std::string text = "{% if messages[0].content == 'now' %}" + hostile.first +
                             "{% endif %}{% for m in messages %}{{ m.role + m.content }}{% endfor %}";
    const auto templates = text_templates(text, "", "");
    ASSERT_TRUE(templates) << name << ": " << templates.error().message;
    EXPECT_TRUE(apply_templates(**templates, question("Hello."))) << name;
    const TemplateAllowance allowance(kSmall);
    const auto params = apply_templates(**templates, question("now"));
    ASSERT_FALSE(params) << name;
    EXPECT_EQ(params.error().code, ErrorCode::kUsage);
    EXPECT_NE(params.error().message.find(hostile.second), std::string::npos) << name << params.error().message;
  }
}

TEST_F(ChatTemplates, OneRequestHasOneAllowance) {
  const auto templates = text_templates(
      "{% if messages[0].content == 'now' %}{% for a in range(1000) %}{% for b in range(1000) %}{% endfor %}{% endfor "
      "%}"
      "{% endif %}",
      "", "");
  ASSERT_TRUE(templates);
  {
    const TemplateAllowance allowance(kSmall);
    EXPECT_FALSE(apply_templates(**templates, question("now")));
    EXPECT_FALSE(apply_templates(**templates, question("Hello.")));
  }
  EXPECT_TRUE(apply_templates(**templates, question("Hello.")));
}

// As templates do that write a tool's parameters as types.
TEST_F(ChatTemplates, RecursionThatEndsIsTaken) {
  const auto templates = text_templates(
      "{% macro type(s, deep) %}{% if s.type == 'object' %}{{ '{' }}{% for k, v in s.properties.items() %}{{ k }}: "
      "{{ type(v, deep + 1) }}{% endfor %}{{ '}' }}{% elif s.type == 'array' %}{{ type(s['items'], deep + 1) }}[]"
      "{% else %}{{ s.type }}@{{ deep }}{% endif %}{% endmacro %}"
      "{% for t in tools %}{{ type(t.function.parameters, 0) }}{% endfor %}",
      "", "");
  ASSERT_TRUE(templates) << templates.error().message;
  std::string schema = R"({"type": "string"})";
  for (int i = 0; i < 45; ++i) {
    schema = R"({"type": "object", "properties": {"a": )" + schema + "}}";
  }
  common_chat_templates_inputs inputs = question("Hello.");
  inputs.tools.push_back({"tool", "", schema});
  const auto params = apply_templates(**templates, inputs);
  ASSERT_TRUE(params) << params.error().message;
  EXPECT_NE(params->prompt.find("string@45"), std::string::npos);
}

TEST_F(ChatTemplates, ManyVariablesAreRefused) {
  const auto templates = text_templates("{{ messages[0].content }}", "", "");
  ASSERT_TRUE(templates);
  common_chat_templates_inputs inputs = question("Hello.");
  for (int i = 0; i < 1000; ++i) {
    inputs.chat_template_kwargs["v" + std::to_string(i)] = "1";
  }
  EXPECT_FALSE(apply_templates(**templates, inputs));
}

TEST_F(ChatTemplates, NamesThatEndTheProcessAreRefused) {
  std::ifstream file(kTemplates / "Qwen3-Coder.jinja", std::ios::binary);
  const auto templates = text_templates({std::istreambuf_iterator<char>(file), {}}, "", "");
  ASSERT_TRUE(templates);
  const std::string row(60000, '!');
  const std::vector<common_chat_tool> refused = {
      {row, "", "{}"},
      {"a", "", R"({"type": "object", "properties": {")" + row + R"(": {"type": "string"}}})"},
      {"a", "", R"({"type": "object", "properties": {"b": {"$ref": "#/$defs/)" + row + R"("}}})"},
  };
  for (const common_chat_tool& tool : refused) {
    common_chat_templates_inputs inputs = question("Hello.");
    inputs.force_pure_content = false;
    inputs.tools = {tool};
    EXPECT_FALSE(apply_templates(**templates, inputs));
    inputs.tools = {{"a", row, R"({"type": "object", "properties": {"b": {"description": ")" + row + R"("}}})"}};
    EXPECT_TRUE(apply_templates(**templates, inputs));
  }
}

TEST_F(ChatTemplates, BrokenOnesAreRefusedInOneLine) {
  for (const char* text : {"{{", "{% if %}", "{% unknown %}", "{{ 'x }}", "{% for a %}{% endfor %}", "{# never closed",
                           "{{ a[ }}", "{{ 99999999999999999999 }}", "{% macro %}", "{%", "{% set x %}"}) {
    const auto templates = text_templates(text, "", "");
    ASSERT_FALSE(templates) << text;
    EXPECT_EQ(templates.error().message.find('\n'), std::string::npos) << templates.error().message;
  }
}

}  // namespace
}  // namespace hypura
