#include "schema/tool_schemas.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "json-schema-to-grammar.h"
#include "schema/grammar_for_test.h"
#include "schema/llama_schema_for_test.h"

namespace hypura {
namespace {

using schema::GrammarForTest;
using schema::Json;

// The grammar for the arguments of a tool, as llama.cpp makes it for chat formats that write them as JSON.
std::string arguments_grammar(const std::string& parameters, bool flat) {
  ToolSchemas schemas(flat);
  const common_json tamed = common_json::parse(schemas.add("tool", parameters));
  return schemas.complete(build_grammar([&](const common_grammar_builder& builder) {
    builder.add_rule("root", add_schema(builder, "tool-x-schema", tamed));
  }));
}

struct Arguments {
  std::string parameters;
  std::vector<std::string> good;
  std::vector<std::string> bad;
};

void check(const std::vector<Arguments>& table) {
  for (const Arguments& it : table) {
    for (const bool flat : {false, true}) {
      const std::string rules = arguments_grammar(it.parameters, flat);
      GrammarForTest grammar(rules);
      ASSERT_TRUE(grammar.good()) << it.parameters << "\n" << rules;
      for (const std::string& good : it.good) {
        EXPECT_TRUE(grammar.accepts(good)) << (flat ? "flat " : "") << it.parameters << "\n" << good;
      }
      for (const std::string& bad : it.bad) {
        EXPECT_FALSE(grammar.accepts(bad)) << (flat ? "flat " : "") << it.parameters << "\n" << bad;
      }
    }
  }
}

// With one parameter "a", which is required.
Arguments one(const std::string& schema, const std::vector<std::string>& good, const std::vector<std::string>& bad) {
  const auto all = [](const std::vector<std::string>& values) {
    std::vector<std::string> texts;
    for (const std::string& value : values) {
      texts.push_back("{\"a\":" + value + "}");
    }
    return texts;
  };
  return {fmt::format(R"({{"type":"object","properties":{{"a":{}}},"required":["a"]}})", schema), all(good), all(bad)};
}

TEST(ToolSchemasTest, TheTopIsAnObjectWhateverItIs) {
  const std::string any = R"({"x":1,"y":[{}]})";
  check({
      {"", {"{}"}, {any}},
      {"null", {"{}"}, {any}},
      {"{", {"{}"}, {any}},
      {R"({"type":"object","properties":{}})", {"{}"}, {any, "[]"}},
      {R"({"type":"object","properties":{},"additionalProperties":false})", {"{}"}, {any}},
      {R"({"type":"object","properties":{},"additionalProperties":true})", {"{}", any}, {"1"}},
      {"{}", {"{}", any}, {"1", "[]"}},
      {"true", {"{}", any}, {"1"}},
      {"7", {"{}", any}, {"7"}},
      {R"({"type":"object"})", {"{}", any}, {"1"}},
      {R"({"type":"string"})", {"{}", any}, {"1"}},
      {R"({"type":"object","properties":[]})", {"{}", any}, {"[]"}},
      {R"({"type":"object","properties":null,"required":null})", {"{}", any}, {"null"}},
      {R"({"properties":{"a":{"type":"integer"}},"required":["a","b"]})", {R"({"a":1,"b":[]})"}, {R"({"a":1})", "{}"}},
      {R"({"additionalProperties":{"type":"integer"}})", {"{}", R"({"x":1})"}, {"[]"}},
      {R"({"oneOf":[{"properties":{"k":{"const":"a"},"x":{"type":"string"}},"required":["k","x"]},{"properties":{"k":{"const":"b"}},"required":["k"]}]})",
       {R"({"k":"a","x":"s"})", R"({"k":"b"})"},
       {R"({"x":"s"})", R"({"k":"a","x":1})"}},
      {R"({"allOf":[{"$ref":"#/$defs/d"},{"properties":{"b":{"type":"integer"}},"required":["b"]}],"$defs":{"d":{"properties":{"a":{"type":"string"}},"required":["a"]}}})",
       {R"({"a":"s","b":1})"},
       {R"({"b":1})", R"({"a":"s"})"}},
  });
}

TEST(ToolSchemasTest, WhatCanBeEnforcedIs) {
  check({
      one(R"({"type":"string"})", {R"("x")"}, {"1", "null"}),
      one(R"({"type":"string","maxLength":3})", {R"("abc")"}, {R"("abcd")"}),
      one(R"({"type":"string","minLength":2,"maxLength":100000})", {R"("abc")"}, {R"("a")"}),
      one(R"({"type":"string","pattern":"b"})", {R"("abc")"}, {R"("ac")"}),
      one(R"({"type":"string","pattern":"^\\d+$","maxLength":3})", {R"("12")"}, {R"("x")", R"("1234")"}),
      one(R"({"type":"string","format":"date"})", {R"("2024-02-29")"}, {R"("today")"}),
      one(R"({"type":"integer","minimum":1,"maximum":9007199254740991})", {"1", "500"}, {"0", "-3", "1.5"}),
      one(R"({"type":"number","minimum":0,"maximum":1})", {"0.5", "1"}, {"1.5", "-1"}),
      one(R"({"type":"integer","minimum":0,"exclusiveMinimum":true})", {"1"}, {"0"}),
      one(R"({"type":"number","multipleOf":0.5})", {"1.5"}, {"1.2"}),
      one(R"({"type":"boolean"})", {"true"}, {"1"}),
      one(R"({"enum":["x",1,null]})", {R"("x")", "1", "null"}, {"2", R"("y")"}),
      one(R"({"const":"x"})", {R"("x")"}, {R"("y")"}),
      one(R"({"type":["string","null"]})", {R"("x")", "null"}, {"1"}),
      one(R"({"type":["integer","null"],"minimum":3})", {"3", "null"}, {"2"}),
      one(R"({"type":"string","nullable":true})", {R"("x")", "null"}, {"1"}),
      one(R"({"anyOf":[{"type":"string","maxLength":2},{"type":"null"}]})", {R"("ab")", "null"}, {R"("abc")", "1"}),
      one(R"({"oneOf":[{"const":"x"},{"type":"integer"}]})", {R"("x")", "1"}, {R"("y")"}),
      one(R"({"type":"array","items":{"type":"integer","maximum":5},"minItems":1,"maxItems":2})", {"[1]", "[1,5]"},
          {"[]", "[6]", "[1,1,1]"}),
      one(R"({"type":"array"})", {"[]", "[1,{}]"}, {"{}"}),
      one(R"({"type":"object","properties":{"b":{"type":"integer"}},"required":["b"]})", {R"({"b":1})"},
          {"{}", R"({"b":"x"})"}),
      one(R"({"type":"object"})", {"{}", R"({"x":[1]})"}, {"[]"}),
      one(R"({"type":"object","properties":{}})", {"{}", R"({"x":[1]})"}, {"[]"}),
      one(R"({"type":"object","additionalProperties":{"type":"integer"}})", {R"({"x":1})"}, {R"({"x":"y"})"}),
      one(R"({"type":"object","additionalProperties":{}})", {R"({"x":1})"}, {"1"}),
      one(R"({})", {"1", R"("x")", "[]", "{}"}, {"x"}),
      one("true", {"1", R"("x")"}, {"x"}),
      one(R"({"allOf":[{"type":"string"},{"maxLength":2}]})", {R"("ab")"}, {R"("abc")", "1"}),
  });
}

TEST(ToolSchemasTest, WhatCannotBeEnforcedIsLeftOut) {
  check({
      one(R"({"type":"string","minLength":"3","maxLength":-1,"pattern":7,"format":["x"]})", {R"("x")"}, {"1"}),
      one(R"({"type":"string","pattern":"(?<=a)b","maxLength":3})", {R"("abc")"}, {R"("abcd")"}),
      one(R"({"type":"string","pattern":"("})", {R"("x")"}, {"1"}),
      one(R"({"type":"string","format":"color","minLength":2})", {R"("red")"}, {R"("r")"}),
      one(R"({"type":"integer","minimum":5,"maximum":1})", {"3"}, {R"("x")"}),
      one(R"({"type":"integer","minimum":"0"})", {"-3"}, {R"("x")"}),
      one(R"({"type":"integer","multipleOf":86413})", {"3"}, {"1.5"}),
      one(R"({"type":"text"})", {"1", R"("x")"}, {"x"}),
      one(R"({"type":[]})", {"1"}, {"x"}),
      one(R"({"enum":[]})", {"1"}, {"x"}),
      one(R"({"type":"string","enum":[1,2]})", {R"("x")"}, {"1"}),
      one(R"({"anyOf":[]})", {"1"}, {"x"}),
      one(R"({"anyOf":[{},{"type":"null"}]})", {"1", "null"}, {"x"}),
      one("5", {"1"}, {"x"}),
      one("null", {"1"}, {"x"}),
      one(R"("string")", {"1"}, {"x"}),
      one("[]", {"1"}, {"x"}),
      one(R"({"$ref":"#/$defs/none"})", {"1"}, {"x"}),
      one(R"({"$ref":"https://example.com/x.json","type":"string"})", {R"("x")"}, {"1"}),
      one(R"({"$ref":7})", {"1"}, {"x"}),
      one(R"({"type":"array","items":{"type":"string"},"uniqueItems":true,"contains":{},"maxItems":100000})",
          {R"(["a","a"])"}, {"[1]"}),
      one(R"({"type":"array","items":{"type":"string"},"minItems":1.5,"maxItems":0})", {R"(["a"])"}, {"[1]"}),
      one(R"({"type":"array","items":"string"})", {"[1]"}, {"1"}),
      one(R"({"type":"array","prefixItems":[{"type":"string"}]})", {"[1]"}, {"1"}),
      one(R"({"type":"object","patternProperties":{"^(.*)$":{"type":"string"}},"propertyNames":{"maxLength":1},"minProperties":3})",
          {R"({"xy":1})"}, {"1"}),
      one(R"({"type":"string","not":{"const":"x"},"if":{},"then":{},"else":{}})", {R"("x")"}, {"1"}),
      one(R"({"type":"object","properties":{"b":false,"c":{"required":true}},"required":"c","dependentRequired":{"c":["b"]}})",
          {"{}", R"({"c":1})"}, {"1"}),
  });
}

TEST(ToolSchemasTest, ReferencesMayLeadBack) {
  check({
      {R"({"type":"object","properties":{"tree":{"$ref":"#/$defs/n"}},"required":["tree"],
           "$defs":{"n":{"type":"object","properties":{"v":{"type":"integer","minimum":1},"kids":{"type":"array","items":{"$ref":"#/$defs/n"}}},"required":["v"]}}})",
       {R"({"tree":{"v":1,"kids":[{"v":2,"kids":[]},{"v":3}]}})"},
       {R"({"tree":{"v":1,"kids":[{}]}})", R"({"tree":{"v":0}})",
        R"({"tree":{"v":1,"kids":[{"v":1,"kids":[{"v":0}]}]}})"}},
      {R"({"type":"object","properties":{"x":{"type":"integer"},"again":{"$ref":"#"}}})",
       {R"({"x":1,"again":{"x":2,"again":{}}})"},
       {R"({"again":1})"}},
      {R"({"type":"object","properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}})",
       {R"({"a":[1]})"},
       {"1"}},
      {R"({"type":"object","properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{"anyOf":[{"type":"null"},{"$ref":"#/$defs/a"},{"type":"object","properties":{"n":{"$ref":"#/$defs/a"}}}]}}})",
       {R"({"a":null})", R"({"a":{"n":{"n":null}}})"},
       {"1"}},
      {R"({"$ref":"#"})", {R"({"x":1})"}, {"1"}},
      {R"({"definitions":{"x y":{"type":"string"}},"properties":{"a":{"$ref":"#/definitions/x%20y"}},"required":["a"]})",
       {R"({"a":"s"})"},
       {R"({"a":1})"}},
  });
}

// llama.cpp knows definitions by their references alone, whichever tool they are of.
TEST(ToolSchemasTest, DefinitionsOfOneNameAreKeptApart) {
  ToolSchemas schemas(false);
  const auto with = [](const char* type) {
    return fmt::format(R"({{"type":"object","properties":{{"a":{{"$ref":"#/$defs/n"}}}},"required":["a"],
      "$defs":{{"n":{{"type":"object","properties":{{"v":{{"type":"{}"}},"next":{{"$ref":"#/$defs/n"}}}},"required":["v"]}}}}}})",
                       type);
  };
  const std::vector<std::string> tamed = {schemas.add("one", with("integer")), schemas.add("two", with("string"))};
  GrammarForTest grammar(build_grammar([&](const common_grammar_builder& builder) {
    std::vector<std::string> rules;
    for (size_t i = 0; i < tamed.size(); ++i) {
      rules.push_back(add_schema(builder, fmt::format("tool-{}", i), common_json::parse(tamed[i])));
    }
    builder.add_rule("root", fmt::format("\"1\" {} | \"2\" {}", rules[0], rules[1]));
  }));
  ASSERT_TRUE(grammar.good());
  EXPECT_TRUE(grammar.accepts(R"(1{"a":{"v":1,"next":{"v":2}}})"));
  EXPECT_TRUE(grammar.accepts(R"(2{"a":{"v":"x","next":{"v":"y"}}})"));
  EXPECT_FALSE(grammar.accepts(R"(2{"a":{"v":"x","next":{"v":2}}})"));
}

TEST(ToolSchemasTest, NamesMayBeAnything) {
  check(
      {{R"({"type":"object","properties":{"a-b":{"type":"string"},"a_b":{"type":"integer"},"größe":{"type":"null"},"q\"\\]^":{"type":"boolean"},"":{"type":"integer"},"root":{"type":"integer"},"string":{"type":"integer"}},"additionalProperties":true})",
        {R"({"a-b":"x","a_b":1,"größe":null,"q\"\\]^":true,"":1,"root":2,"string":3})"},
        {R"({"a_b":"x"})", R"({"root":"x"})"}}});
}

TEST(ToolSchemasTest, LongListsBecomeRulesOfOurs) {
  Json texts = Json::array();
  Json numbers = Json::array();
  for (int i = 0; i < 500; ++i) {
    texts.push_back(fmt::format("Zone/{}", i));
    numbers.push_back(i);
  }
  check({one(Json{{"type", "string"}, {"enum", texts}}.dump(), {R"("Zone/7")"}, {R"("Zone/500")", "7"}),
         one(Json{{"enum", numbers}}.dump(), {"7"}, {"500"})});
}

TEST(ToolSchemasTest, RealToolSetsAreTaken) {
  size_t tools = 0;
  const auto folder = std::filesystem::path(HYPURA_SOURCE_DIR) / "tests" / "fixtures" / "tools";
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    std::ifstream stream(file.path());
    for (const Json& tool : Json::parse(stream)) {
      ++tools;
      for (const bool flat : {false, true}) {
        EXPECT_TRUE(GrammarForTest(arguments_grammar(tool["parameters"].dump(), flat)).good())
            << file.path().filename() << " " << tool["name"];
      }
      EXPECT_TRUE(Json::accept(plain_parameters(tool["parameters"].dump(), false)));
      EXPECT_EQ(plain_parameters(tool["parameters"].dump(), true).find("hypura"), std::string::npos);
    }
  }
  EXPECT_GT(tools, 100U);
}

// As large servers have them: what is dear for llama.cpp is not left to it.
TEST(ToolSchemasTest, ManyLargeToolsTakeFewRules) {
  ToolSchemas schemas(false);
  std::string grammar;
  for (int i = 0; i < 150; ++i) {
    Json parameters = {{"type", "object"}, {"properties", Json::object()}};
    for (int j = 0; j < 20; ++j) {
      parameters["properties"][fmt::format("p{}", j)] = {
          {"type", "string"}, {"minLength", 1}, {"maxLength", 1000 * (j + 1)}};
    }
    grammar += json_schema_to_grammar(common_json::parse(schemas.add(fmt::format("tool{}", i), parameters.dump())));
  }
  EXPECT_LT(schemas.complete(grammar).size() - grammar.size(), 600'000U);
}

TEST(ToolSchemasTest, HostileSchemasAreBounded) {
  const auto repeat = [](const std::string& text, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) {
      all += text;
    }
    return all;
  };
  std::string chain = R"({"type":"object","properties":{"a":{"$ref":"#/$defs/d0"}},"$defs":{)";
  std::string doubled = chain;
  std::string many = R"({"type":"object","properties":{)";
  std::string dear = many;
  for (int i = 0; i < 1000; ++i) {
    chain += fmt::format(R"("d{}":{{"type":"object","properties":{{"a":{{"$ref":"#/$defs/d{}"}}}}}},)", i, i + 1);
    many += fmt::format(R"({}"p{}":{{"type":"string","maxLength":{}}})", i == 0 ? "" : ",", i, i);
    dear += fmt::format(R"({}"p{}":{{"type":"string","pattern":"(a|b)*a(a|b){{1{}}}"}})", i == 0 ? "" : ",", i, i);
  }
  for (int i = 0; i < 40; ++i) {
    doubled += fmt::format(
        R"("d{0}":{{"anyOf":[{{"$ref":"#/$defs/d{1}"}},{{"type":"array","items":{{"$ref":"#/$defs/d{1}"}}}}]}},)", i,
        i + 1);
  }
  for (const std::string& parameters :
       {chain + R"("d1000":{}}})", doubled + R"("d40":{}}})", many + "}}", dear + "}}",
        repeat(R"({"properties":{"a":)", 45) + "{}" + repeat("}}", 45),
        repeat(R"({"anyOf":[)", 45) + "{}" + repeat("]}", 45),
        R"({"properties":{"a":{"anyOf":[)" +
            repeat(R"({"type":"object","properties":{"x":{"type":"integer"}}},)", 500) + "{\"type\":\"null\"}]}}}"}) {
    for (const bool flat : {false, true}) {
      const std::string rules = arguments_grammar(parameters, flat);
      EXPECT_LT(rules.size(), 3'000'000U) << parameters.substr(0, 200);
      EXPECT_TRUE(GrammarForTest(rules).good()) << parameters.substr(0, 200);
    }
  }
}

}  // namespace
}  // namespace hypura
