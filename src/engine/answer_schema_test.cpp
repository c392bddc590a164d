#include "engine/answer_schema.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "engine/schema/grammar_for_test.h"
#include "engine/schema/validator.h"

namespace hypura {
namespace {

using schema::GrammarForTest;
using testing::HasSubstr;

struct Enforced {
  std::string schema;
  std::vector<std::string> good;
  std::vector<std::string> bad;
};

// What the grammar itself lets through, whatever it is, is of the schema by the standard's rules.
void check_random_texts(const std::string& text, GrammarForTest& grammar) {
  schema::Work work;
  schema::Context context(schema::Json::parse(text), work);
  schema::Validator validator(context);
  std::mt19937 random(7);
  for (int i = 0; i < 30; ++i) {
    const std::string made = grammar.random_text(random);
    if (made.empty()) {
      continue;
    }
    const auto value = schema::Json::parse(made, nullptr, false);
    ASSERT_FALSE(value.is_discarded()) << text << "\n" << made;
    EXPECT_TRUE(validator.valid(value, context.document().root())) << text << "\n" << made;
  }
  EXPECT_FALSE(context.failed()) << context.fault()->message;
}

void check(const std::vector<Enforced>& table) {
  for (const Enforced& it : table) {
    const auto rules = schema_rules(it.schema);
    ASSERT_TRUE(rules) << it.schema << "\n" << rules.error().message;
    GrammarForTest grammar(*rules);
    ASSERT_TRUE(grammar.good()) << it.schema << "\n" << *rules;
    for (const std::string& good : it.good) {
      EXPECT_TRUE(grammar.accepts(good)) << it.schema << "\n" << good;
    }
    for (const std::string& bad : it.bad) {
      EXPECT_FALSE(grammar.accepts(bad)) << it.schema << "\n" << bad;
    }
    check_random_texts(it.schema, grammar);
  }
}

struct Refused {
  std::string schema;
  const char* why;
};

void check_refused(const std::vector<Refused>& table) {
  for (const Refused& it : table) {
    const auto rules = schema_rules(it.schema);
    ASSERT_FALSE(rules) << it.schema << "\n" << *rules;
    EXPECT_EQ(rules.error().code, ErrorCode::kUsage);
    EXPECT_THAT(rules.error().message, HasSubstr(it.why)) << it.schema;
  }
}

TEST(AnswerSchemaTest, Types) {
  check({
      {R"({"type":"null"})", {"null"}, {"nul", "true", ""}},
      {R"({"type":"boolean"})", {"true", "false"}, {"True", "null"}},
      {R"({"type":"integer"})", {"0", "-7", "1234567890123456"}, {"01", "1.5", "1e3", "+1", "\"1\""}},
      {R"({"type":"number"})", {"0", "-7.25", "1e3", "1.5E-10"}, {"01", ".5", "1.", "NaN", "1e999"}},
      {R"({"type":"string"})",
       {R"("")", R"("a\"b\\c\u00e9\n")", R"("漢😀")", R"("\ud83d\ude00")"},
       {"\"a\nb\"", R"("\x")", R"("\ud83d")", R"("a"b")"}},
      {R"({"type":"array"})", {"[]", "[1, \"a\", [null], {\"b\": 2}]"}, {"[1,]", "[", "{}"}},
      {R"({"type":"object"})", {"{}", R"({"a": [1], "b": {"c": null}})"}, {"[]", R"({"a"})", R"({a: 1})"}},
      {R"({"type":["string","null"]})", {R"("x")", "null"}, {"1", "{}"}},
      {R"({"type":"string","nullable":true})", {R"("x")", "null"}, {"1"}},
      {"{}", {"{}", R"({"a": 1})"}, {"1", "[]"}},
      {R"({"description":"anything"})", {"1", R"("x")", "[]", "{}", "null", "true"}, {"x"}},
      {R"({"type":"object","properties":{"a":{},"b":true},"required":["a","b"]})",
       {R"({"a": 1, "b": "x"})", R"({"a": [], "b": null})"},
       {R"({"a": 1})"}},
  });
  check_refused({{R"({"type":[]})", "\"type\" must be"},
                 {R"({"type":"text"})", "not \"text\""},
                 {R"({"properties":{"a":{"type":7}},"required":["a"]})", "properties.a: \"type\""},
                 {R"({"type":["string",null]})", "not null"}});
}

TEST(AnswerSchemaTest, ListedValues) {
  check({
      {R"({"const":"a"})", {R"("a")"}, {R"("b")", "a"}},
      {R"({"const":{"a":[1,null]}})", {R"({"a":[1,null]})"}, {"{}"}},
      {R"({"enum":["red","green","re",1,1.5,null,true,[2]]})",
       {R"("red")", R"("re")", R"("green")", "1", "1.5", "null", "true", "[2]"},
       {R"("gree")", "2", "false", R"("reg")"}},
      {R"({"type":"string","enum":["a",1,null]})", {R"("a")"}, {"1", "null"}},
      {R"({"type":"integer","enum":[1,2,3],"minimum":2})", {"2", "3"}, {"1"}},
      {R"({"type":"integer","enum":[1.0,2.5]})", {"1.0"}, {"2.5"}},
      {R"({"enum":["é","漢字","漢","quote\"","back\\","line\n"]})",
       {R"("é")", R"("漢字")", R"("漢")", R"("quote\"")", R"("back\\")", R"("line\n")"},
       {R"("漢字漢")"}},
      {R"({"enum":["aa","ab","c"],"pattern":"b$"})", {R"("ab")"}, {R"("aa")", R"("c")"}},
      {R"({"enum":[{"a":1},{"b":2}],"required":["b"]})", {R"({"b":2})"}, {R"({"a":1})"}},
      {R"({"enum":[1,1.0,1e0,2]})", {"1", "2"}, {"3"}},
  });
  check_refused(
      {{R"({"enum":[]})", "\"enum\" must be an array that is not empty"},
       {R"({"enum":"a"})", "\"enum\" must be"},
       {R"({"properties":{"a":{"properties":{"b":{"type":"integer","enum":["x"]}},"required":["b"]}},"required":["a"]})",
        "properties.a.properties.b: \"enum\" leaves no value"},
       {R"({"type":"string","const":5})", "\"const\" leaves no value"},
       {R"({"allOf":[{"enum":[1,2]},{"enum":[3]}]})", "\"allOf\" leaves no value"}});
}

TEST(AnswerSchemaTest, LimitsOfNumbers) {
  check({
      {R"({"type":"integer","minimum":0})", {"0", "7", "123456"}, {"-1", "1.5"}},
      {R"({"type":"integer","minimum":-5,"maximum":105})", {"-5", "0", "99", "105"}, {"-6", "106", "1000", "05"}},
      {R"({"type":"integer","exclusiveMinimum":0,"exclusiveMaximum":10})", {"1", "9"}, {"0", "10", "-1"}},
      {R"({"type":"integer","minimum":1,"exclusiveMinimum":true,"maximum":3,"exclusiveMaximum":false})",
       {"2", "3"},
       {"1", "4"}},
      {R"({"type":"integer","minimum":2,"exclusiveMinimum":5})", {"6"}, {"5", "3"}},
      {R"({"type":"number","minimum":0,"maximum":1})", {"0", "0.0", "1", "1.0", "0.25"}, {"1.1", "-0.1", "2", "1.01"}},
      {R"({"type":"number","exclusiveMinimum":0,"maximum":1.5})",
       {"0.1", "1.5", "1.50", "1.4999"},
       {"0", "0.0", "1.51", "-1"}},
      {R"({"type":"number","minimum":-1.5,"maximum":-0.25})",
       {"-1.5", "-1", "-0.25", "-0.3"},
       {"-0.2", "0", "-1.6", "1"}},
      {R"({"type":"number","maximum":-10})", {"-10", "-11.5", "-100"}, {"-9.9", "0", "10"}},
      {R"({"type":"number","minimum":12.5})", {"12.5", "12.6", "13", "100"}, {"12.4", "12", "-13"}},
      {R"({"type":"integer","maximum":9007199254740991,"minimum":-9007199254740991})",
       {"9007199254740991", "-9007199254740991", "0"},
       {"9007199254740992", "99999999999999999"}},
      {R"({"type":"integer","minimum":12345678901234567890})", {"12345678901234567890"}, {"12345678901234567889", "1"}},
      {R"({"type":"integer","minimum":1e2,"maximum":3.5e2})", {"100", "350"}, {"99", "351"}},
      {R"({"type":"number","maximum":1.7976931348623157e308})", {"5", "-7.5"}, {"x"}},
      {R"({"type":"number","minimum":1e-7})", {"0.0000001", "1"}, {"0.00000009", "0"}},
      {R"({"type":"integer","minimum":5,"maximum":5})", {"5"}, {"4", "6", "55"}},
      {R"({"type":"integer","minimum":0.5,"maximum":2.5})", {"1", "2"}, {"0", "3"}},
      {R"({"minimum":3})", {"3"}, {"2", "null"}},
      {R"({"type":"integer","format":"int32"})", {"2147483647", "-2147483648"}, {"2147483648"}},
  });
  check_refused({{R"({"type":"integer","minimum":5,"maximum":1})", "allows no value: \"minimum\" and \"maximum\""},
                 {R"({"type":"integer","exclusiveMinimum":1,"exclusiveMaximum":2})", "allows no value"},
                 {R"({"type":"number","minimum":"3"})", "\"minimum\" must be a number"},
                 {R"({"type":"number","maximum":null})", "\"maximum\" must be a number"},
                 {R"({"type":"number","exclusiveMaximum":[]})", "\"exclusiveMaximum\" must be a number"}});
}

TEST(AnswerSchemaTest, Multiples) {
  check({
      {R"({"type":"integer","multipleOf":1})", {"0", "17", "-3"}, {"1.5"}},
      {R"({"type":"number","multipleOf":1})", {"0", "17", "-3"}, {"1.5"}},
      {R"({"type":"integer","multipleOf":5})", {"0", "5", "-10", "1235"}, {"3", "12", "-1"}},
      {R"({"type":"integer","multipleOf":7,"minimum":10,"maximum":30})", {"14", "21", "28"}, {"7", "35", "15"}},
      {R"({"type":"number","multipleOf":0.01})", {"1", "1.5", "1.25", "-0.01"}, {"1.255", "0.001"}},
      {R"({"type":"number","multipleOf":0.25,"minimum":0})", {"0.25", "0.5", "0.75", "3"}, {"0.1", "0.3", "-0.25"}},
      {R"({"type":"number","multipleOf":2.5})", {"2.5", "5", "7.5", "10.0"}, {"3", "2.6"}},
      {R"({"type":"integer","multipleOf":0.5})", {"1", "2"}, {"0.5"}},
      {R"({"type":"integer","multipleOf":1000})", {"0", "1000", "25000", "-3000"}, {"500", "1001", "00", "0000"}},
      {R"({"type":"integer","multipleOf":250,"minimum":-600,"maximum":1100})",
       {"0", "250", "1000", "-500"},
       {"1250", "-750", "100"}},
      {R"({"type":"integer","multipleOf":100,"minimum":150})", {"200", "1000"}, {"0", "100"}},
      {R"({"type":"integer","multipleOf":86400})", {"86400", "0", "172800"}, {"86401"}},
      {R"({"type":"integer","multipleOf":1024,"minimum":0})", {"1024", "0", "65536"}, {"1000"}},
      {R"({"allOf":[{"multipleOf":4},{"multipleOf":6}],"type":"integer"})", {"12", "24"}, {"4", "6", "8"}},
      {R"({"type":"number","multipleOf":1e-3})", {"0.001", "5"}, {"0.0001"}},
  });
  check_refused({{R"({"type":"integer","multipleOf":0})", "\"multipleOf\" must be a number above 0"},
                 {R"({"type":"integer","multipleOf":-2})", "\"multipleOf\" must be a number above 0"},
                 {R"({"properties":{"age":{"type":"integer","multipleOf":86413}},"required":["age"]})",
                  "properties.age: \"multipleOf\" cannot be enforced"},
                 {R"({"type":"integer","multipleOf":7,"minimum":8,"maximum":13})", "allows no value"}});
}

TEST(AnswerSchemaTest, LengthsOfStrings) {
  const std::string x63(63, 'x');
  const std::string x64 = x63 + "x";
  const std::string x65 = x64 + "x";
  check({
      {R"({"type":"string","minLength":1})", {R"("a")", R"("\n")", R"("ab")"}, {R"("")"}},
      {R"({"type":"string","maxLength":2})", {R"("")", R"("ab")", R"("漢😀")", R"("\ud83d\ude00x")"}, {R"("abc")"}},
      {R"({"type":"string","minLength":2,"maxLength":3})",
       {R"("ab")", R"("abc")"},
       {R"("a")", R"("abcd")", R"("\ud83d\ude00")"}},
      {R"({"type":"string","maxLength":0})", {R"("")"}, {R"("a")"}},
      {R"({"type":"string","maxLength":64})", {"\"" + x63 + "\"", "\"" + x64 + "\""}, {"\"" + x65 + "\""}},
      {R"({"type":"string","minLength":64,"maxLength":64})",
       {"\"" + x64 + "\""},
       {"\"" + x63 + "\"", "\"" + x65 + "\""}},
      {R"({"type":"string","maxLength":2.0})", {R"("ab")"}, {R"("abc")"}},
      {R"({"minLength":2})", {R"("ab")"}, {R"("a")", "1"}},
  });
  check_refused({{R"({"type":"string","minLength":"3"})", "\"minLength\" must be a whole number, 0 or more"},
                 {R"({"type":"string","minLength":-1})", "\"minLength\" must be a whole number"},
                 {R"({"type":"string","maxLength":1.5})", "\"maxLength\" must be a whole number"},
                 {R"({"type":"string","minLength":3,"maxLength":2})", "\"minLength\" and \"maxLength\""}});
}

TEST(AnswerSchemaTest, HugeLimitsCostLittle) {
  for (
      const char* schema :
      {R"({"type":"string","maxLength":20000})", R"({"type":"string","maxLength":1000000000})",
       R"({"type":"string","minLength":20000})", R"({"type":"string","minLength":300,"maxLength":1e300})",
       R"({"type":"array","items":{"type":"integer"},"maxItems":10000})",
       R"({"type":"array","items":{"type":"string","maxLength":5000},"minItems":10000,"maxItems":100000})",
       R"({"type":"array","items":{"type":"array","items":{"type":"array","maxItems":9999},"maxItems":9999},"maxItems":9999})"}) {
    const auto rules = schema_rules(schema);
    ASSERT_TRUE(rules) << schema;
    EXPECT_LT(rules->size(), 100'000U) << schema;
    EXPECT_TRUE(GrammarForTest(*rules).good()) << schema;
  }
  GrammarForTest grammar(*schema_rules(R"({"type":"string","minLength":4500,"maxLength":5000})"));
  EXPECT_TRUE(grammar.accepts("\"" + std::string(4500, 'x') + "\""));
  EXPECT_TRUE(grammar.accepts("\"" + std::string(5000, 'x') + "\""));
  EXPECT_FALSE(grammar.accepts("\"" + std::string(4499, 'x') + "\""));
  EXPECT_FALSE(grammar.accepts("\"" + std::string(5001, 'x') + "\""));
  EXPECT_LT(grammar.most_stacks(), 20U);
}

TEST(AnswerSchemaTest, LongListsAreFollowedAtOnce) {
  std::string schema = R"({"enum":[)";
  for (int i = 0; i < 5000; ++i) {
    schema += fmt::format("{}\"value {}\"", i == 0 ? "" : ",", i * 7919 % 100003);
  }
  const auto rules = schema_rules(schema + "]}");
  ASSERT_TRUE(rules) << rules.error().message;
  GrammarForTest grammar(*rules);
  EXPECT_TRUE(grammar.accepts("\"value 7919\""));
  EXPECT_FALSE(grammar.accepts("\"value 7918\""));
  EXPECT_LT(grammar.most_stacks(), 20U);
}

TEST(AnswerSchemaTest, Patterns) {
  const auto of = [](const char* pattern) { return R"({"type":"string","pattern":")" + std::string(pattern) + "\"}"; };
  const std::vector<std::string> schemas = {of("^[a-z]+$"),
                                            of("b"),
                                            of("^a"),
                                            of("c$"),
                                            of("^(ab|cd)*$"),
                                            of("^\\\\d{3}-\\\\d{2,4}$"),
                                            of("^.$"),
                                            of("^[^a]$"),
                                            of("^\\\\w+$"),
                                            of("^a{2,}$"),
                                            of("^(?:x|y)?z$"),
                                            of("^(?=.*[A-Z])(?=.*\\\\d).{3,5}$"),
                                            of("^(?!bad)..."),
                                            of("^a|b$"),
                                            of("^\\\\$\\\\.$"),
                                            of("^[\\\\]\\\\-]+$"),
                                            of("^\\\\u00e9\\\\x41$"),
                                            of("^[\\\"\\\\\\\\]$"),
                                            of("^(?<year>\\\\d)$"),
                                            of("^[+-]?\\\\d+?$"),
                                            of(""),
                                            of("^$"),
                                            of("^\\\\S \\\\S$"),
                                            of("^a{b}$"),
                                            of("^[a\\\\d-]$")};
  check({
      {schemas[0], {R"("abc")"}, {R"("")", R"("aB")", R"("a1")"}},
      {schemas[1], {R"("b")", R"("abc")", R"("\"b")"}, {R"("ac")", R"("")"}},
      {schemas[2], {R"("a")", R"("abc")"}, {R"("ba")"}},
      {schemas[3], {R"("c")", R"("abc")"}, {R"("ca")"}},
      {schemas[4], {R"("")", R"("abcdab")"}, {R"("abc")"}},
      {schemas[5], {R"("123-45")", R"("123-4567")"}, {R"("12-345")", R"("123-45678")"}},
      {schemas[6], {R"("x")", R"("\"")", R"("\\")", R"("漢")"}, {R"(""")", R"("\n")", R"("xx")", R"("\")"}},
      {schemas[7], {R"("b")", R"("\"")", R"("\n")"}, {R"("a")", R"(""")"}},
      {schemas[8], {R"("a_1")"}, {R"("a-b")", R"("é")"}},
      {schemas[9], {R"("aa")", R"("aaaaa")"}, {R"("a")"}},
      {schemas[10], {R"("xz")", R"("z")"}, {R"("xyz")"}},
      {schemas[11], {R"("A1b")", R"("xx9Zy")"}, {R"("abc")", R"("A1")", R"("A1bbbb")"}},
      {schemas[12], {R"("good")"}, {R"("bad!")", R"("xy")"}},
      {schemas[13], {R"("ax")", R"("xb")"}, {R"("xa")", R"("bx")"}},
      {schemas[14], {R"("$.")"}, {R"("$x")"}},
      {schemas[15], {R"("]-")"}, {R"("a")"}},
      {schemas[16], {R"("éA")"}, {R"("eA")"}},
      {schemas[17], {R"("\"")", R"("\\")"}, {R"("a")"}},
      {schemas[18], {R"("7")"}, {R"("77")"}},
      {schemas[19], {R"("-7")", R"("77")"}, {R"("--7")"}},
      {schemas[20], {R"("")", R"("any thing")"}, {"1"}},
      {schemas[21], {R"("")"}, {R"("a")"}},
      {schemas[22], {R"("a b")"}, {R"("a  b")", R"("ab")"}},
      {schemas[23], {R"("a{b}")"}, {R"("ab")"}},
      {schemas[24], {R"("a")", R"("5")", R"("-")"}, {R"("b")"}},
      {R"({"type":"string","pattern":"^[a-z-]*$","minLength":2,"maxLength":4})",
       {R"("ab")", R"("a-b-")"},
       {R"("a")", R"("abcde")", R"("AB")"}},
      {R"({"type":"string","pattern":"^a","allOf":[{"pattern":"z$"}]})",
       {R"("az")", R"("abcz")"},
       {R"("ab")", R"("bz")"}},
      {R"({"pattern":"^a$"})", {R"("a")"}, {R"("b")", "1"}},
  });
  check_refused({{R"({"properties":{"a":{"type":"string","pattern":"(a)\\1"}},"required":["a"]})",
                  "properties.a: \"pattern\" cannot be enforced: it refers back to a group"},
                 {R"x({"type":"string","pattern":"(?<=a)b"})x", "it looks back"},
                 {R"x({"type":"string","pattern":"\\bword\\b"})x", "the bounds of words"},
                 {R"x({"type":"string","pattern":"(a"})x", "a group is not closed"},
                 {R"x({"type":"string","pattern":"a)"})x", "a group is closed"},
                 {R"x({"type":"string","pattern":"[a"})x", "a bracket is not closed"},
                 {R"x({"type":"string","pattern":"*a"})x", "nothing to repeat"},
                 {R"x({"type":"string","pattern":"a{3,2}"})x", "out of order"},
                 {R"x({"type":"string","pattern":"[z-a]"})x", "out of order"},
                 {R"x({"type":"string","pattern":"\\p{L}"})x", "Unicode property"},
                 {R"x({"type":"string","pattern":"a\\"})x", "ends in a backslash"},
                 {R"x({"type":"string","pattern":"^(?i)a$"})x", "a kind of group"},
                 {R"x({"type":"string","pattern":"(a|b)*a(a|b){30}"})x", "too large"},
                 {R"x({"type":"string","pattern":"((a{1000}){1000}){1000}"})x", "too large"},
                 {R"({"type":"string","pattern":5})", "\"pattern\" must be a string"},
                 {R"x({"type":"string","pattern":"a^b"})x", "allows no value"},
                 {R"({"type":"string","pattern":"^abc$","maxLength":2})", "allows no value"}});
}

TEST(AnswerSchemaTest, Formats) {
  struct Format {
    const char* name;
    std::vector<std::string> good;
    std::vector<std::string> bad;
  };
  const std::vector<Format> formats = {
      {"date", {"2024-02-29", "2023-12-31"}, {"2023-02-29", "2023-13-01", "2023-04-31", "23-01-01", "0000-01-01"}},
      {"time", {"23:59:59Z", "01:02:03.5+02:00"}, {"24:00:00Z", "01:02Z", "01:02:03"}},
      {"date-time", {"2024-02-29T12:00:00Z", "2023-01-01T00:00:00.123-05:30"}, {"2024-02-29", "2023-02-30T00:00:00Z"}},
      {"duration", {"P1D", "PT5M", "P1Y2M3DT4H5M6S", "P2W"}, {"P", "1D", "PT", "P1S"}},
      {"email", {"a@b.c", "first.last+tag@example.com"}, {"a", "a@", "@b", ".a@b", "a..b@c"}},
      {"hostname", {"localhost", "a-b.example.com"}, {"-a", "a_b", "a..b", ""}},
      {"ipv4", {"127.0.0.1", "255.255.255.255"}, {"256.0.0.1", "1.2.3", "01.2.3.4"}},
      {"ipv6",
       {"::1", "2001:db8::1", "1:2:3:4:5:6:7:8", "::", "::ffff:1.2.3.4", "1::"},
       {"1", "1:2:3:4:5:6:7", "::1::", "12345::"}},
      {"uri", {"https://example.com/a?b=c#d", "mailto:a@b.c", "file:///a/b"}, {"example.com", "/a", "http://a b"}},
      {"uri-reference", {"/a/b?c", "a", "https://x.y", ""}, {"a b", "%zz"}},
      {"uri-template", {"/users/{id}", "{?q,page}"}, {"{", "a b"}},
      {"uuid", {"123e4567-e89b-12d3-a456-426614174000"}, {"123e4567e89b12d3a456426614174000", "x"}},
      {"json-pointer", {"", "/a/b~1c"}, {"a", "/~2"}},
      {"relative-json-pointer", {"0#", "1/a"}, {"/a", "-1"}},
      {"byte", {"", "YWI=", "YWJj"}, {"YWI", "Y*=="}},
      {"password", {"", "anything"}, {}},
  };
  for (const Format& format : formats) {
    const std::string schema = fmt::format(R"({{"type":"string","format":"{}"}})", format.name);
    Enforced it{schema, {}, {}};
    const auto quoted = [](const std::string& text) { return "\"" + text + "\""; };
    std::transform(format.good.begin(), format.good.end(), std::back_inserter(it.good), quoted);
    std::transform(format.bad.begin(), format.bad.end(), std::back_inserter(it.bad), quoted);
    check({it});
  }
  check({{R"({"type":"string","contentEncoding":"base64","contentMediaType":"image/png"})", {R"("YWJj")"}, {R"("YW")"}},
         {R"({"type":"string","format":"email","maxLength":10})", {R"("a@b.c")"}, {R"("abcdefg@b.cd")"}},
         {R"({"type":"number","format":"double"})", {"1.5"}, {R"("1.5")"}}});
  check_refused(
      {{R"({"properties":{"a":{"type":"string","format":"color"}},"required":["a"]})",
        "properties.a: \"format\" cannot be enforced: \"color\" is not known"},
       {R"({"type":"string","format":"regex"})", "\"regex\" is not known"},
       {R"({"type":"string","format":3})", "\"format\" must be a string"},
       {R"({"type":"string","contentEncoding":"quoted-printable"})", "\"contentEncoding\" cannot be enforced"}});
}

TEST(AnswerSchemaTest, Arrays) {
  check({
      {R"({"type":"array","items":{"type":"integer"}})", {"[]", "[1]", "[1, 2]"}, {"[\"a\"]", "[1,]", "[1 2]"}},
      {R"({"type":"array","items":{"type":"integer"},"minItems":2,"maxItems":3})",
       {"[1,2]", "[1,2,3]"},
       {"[]", "[1]", "[1,2,3,4]"}},
      {R"({"type":"array","maxItems":0})", {"[]", "[ ]"}, {"[1]"}},
      {R"({"type":"array","minItems":1})", {"[null]", "[1,2]"}, {"[]"}},
      {R"({"type":"array","items":{}})", {"[]", "[1,\"a\",{}]"}, {"{}"}},
      {R"({"type":"array","items":true})", {"[1,\"a\"]"}, {"[a]"}},
      {R"({"type":"array","items":false})", {"[]"}, {"[1]"}},
      {R"({"items":{"type":"integer"}})", {"[1]"}, {"[\"a\"]"}},
      {R"({"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}]})",
       {R"([1,"a"])"},
       {R"(["a",1])", R"([1,"a",2])"}},
      {R"({"type":"array","items":[{"type":"integer"},{"type":"string"}]})", {R"([1,"a"])"}, {R"(["a",1])"}},
      {R"({"type":"array","prefixItems":[{"type":"integer"}],"items":{"type":"string"},"maxItems":3})",
       {"[]", "[1]", R"([1,"a","b"])"},
       {R"(["a"])", "[1,2]", R"([1,"a","b","c"])"}},
      {R"({"type":"array","items":[{"type":"integer"}],"additionalItems":false,"minItems":1})",
       {"[1]"},
       {"[]", "[1,2]"}},
      {R"({"type":"array","items":[{"type":"integer"}],"additionalItems":{"type":"null"},"minItems":2})",
       {"[1,null]", "[1,null,null]"},
       {"[1]", "[1,2]"}},
      {R"({"type":"array","prefixItems":[{"type":"integer"},{"type":"integer"},{"type":"integer"}],"minItems":1,"maxItems":2})",
       {"[1]", "[1,2]"},
       {"[]", "[1,2,3]"}},
      {R"({"type":"array","prefixItems":[{"type":"integer"},false]})", {"[]", "[1]"}, {"[1,2]"}},
      {R"({"type":"array","contains":{"const":5}})", {"[5]", "[5,1,\"a\"]"}, {"[]", "[1]"}},
      {R"({"type":"array","items":{"type":"integer"},"contains":{"minimum":10},"minContains":2})",
       {"[10,11]", "[10,11,1]"},
       {"[10]", "[1,2]", "[10,11,\"a\"]"}},
      {R"({"type":"array","contains":{"const":5},"minContains":0})", {"[]", "[1]", "[5]"}, {"5"}},
      {R"({"type":"array","items":{"type":"integer"},"contains":{"maximum":0},"maxContains":1})",
       {"[0]", "[0,5,7]"},
       {"[0,5,0]", "[]"}},
      {R"({"type":"array","contains":{"const":1},"minItems":3,"maxItems":3})", {"[1,2,3]"}, {"[1]", "[1,2]"}},
      {R"({"type":"array","uniqueItems":false})", {"[1,1]"}, {}},
      {R"({"type":"array","uniqueItems":true,"maxItems":1})", {"[]", "[1]"}, {"[1,1]"}},
      {R"({"type":"array","items":{"enum":["a","b","c"]},"uniqueItems":true})",
       {"[]", R"(["a","c"])", R"(["a","b","c"])"},
       {R"(["a","a"])", R"(["d"])"}},
      {R"({"type":"array","items":{"type":["boolean","null"]},"uniqueItems":true,"minItems":2,"maxItems":2})",
       {"[null,true]"},
       {"[true,true]", "[true]", "[null,true,false]"}},
      {R"({"type":"array","allOf":[{"items":{"minimum":2}},{"items":{"maximum":3}}],"items":{"type":"integer"}})",
       {"[2,3]"},
       {"[1]", "[4]"}},
      {R"({"type":"array","prefixItems":[{"type":"integer"}],"unevaluatedItems":false})", {"[1]"}, {"[1,2]"}},
      {R"({"type":"array","allOf":[{"prefixItems":[{"type":"integer"}]}],"unevaluatedItems":{"type":"string"}})",
       {"[1]", R"([1,"a"])"},
       {"[1,2]"}},
  });
  check_refused(
      {{R"({"properties":{"tags":{"type":"array","items":{"type":"string"},"uniqueItems":true}},"required":["tags"]})",
        "properties.tags: \"uniqueItems\" cannot be enforced"},
       {R"({"type":"array","minItems":3,"maxItems":2})", "\"minItems\" and \"maxItems\""},
       {R"({"type":"array","items":{"type":"string","enum":[]}})", "items: \"enum\" must be"},
       {R"({"type":"array","minItems":1,"items":false})", "items: it allows no value"},
       {R"({"type":"array","items":5})", "\"items\" must be a schema"},
       {R"({"type":"array","prefixItems":{}})", "\"prefixItems\" must be an array"},
       {R"({"type":"array","prefixItems":[7]})", "\"prefixItems\" must hold schemas"},
       {R"({"type":"array","minItems":"2"})", "\"minItems\" must be a whole number"},
       {R"({"type":"array","uniqueItems":1})", "\"uniqueItems\" must be true or false"},
       {R"({"type":"array","contains":{"const":1},"minContains":2,"maxContains":1})",
        "\"maxContains\" leaves no value"},
       {R"({"type":"array","contains":{"const":1},"prefixItems":[{"type":"integer"}]})",
        "\"contains\" cannot be enforced"}});
}

TEST(AnswerSchemaTest, Objects) {
  check({
      {R"({"type":"object","properties":{"b":{"type":"integer"},"a":{"type":"string"}},"required":["a","b"]})",
       {R"({"b": 1, "a": "x"})", R"({"b":1,"a":"x"})"},
       {R"({"b": 1})", R"({"b": "1", "a": "x"})", "{}", R"({"b": 1, "a": "x", "c": 1})", R"({"b": 1 "a": "x"})"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"},"c":{"type":"integer"}},"required":["b"]})",
       {R"({"b":1})", R"({"a":1,"b":1})", R"({"b":1,"c":1})", R"({"a":1,"b":1,"c":1})"},
       {"{}", R"({"a":1})", R"({"a":1,"c":1})", R"({"b":1,"b":1})", R"({,"b":1})"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}}})",
       {"{}", R"({"a":1})", R"({"b":1})"},
       {R"({"c":1})"}},
      {R"({"properties":{"a":{"type":"integer"}},"required":["a"]})", {R"({"a":1})"}, {"1", "[]", "{}"}},
      {R"({"type":"object","properties":{}})", {"{}", R"({"a":1})"}, {"[]"}},
      {R"({"type":"object","properties":{},"additionalProperties":false})", {"{}"}, {R"({"a":1})"}},
      {R"({"type":"object","required":["x"]})", {R"({"x":1})", R"({"x":"a"})"}, {"{}"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"}},"required":["a","z"],"additionalProperties":{"type":"string"}})",
       {R"({"a":1,"z":"s"})", R"({"a":1,"z":"s","q":"t"})"},
       {R"({"a":1})", R"({"a":1,"z":1})", R"({"a":1,"z":"s","q":2})"}},
      {R"({"type":"object","additionalProperties":{"type":"integer"}})", {"{}", R"({"a":1,"b":2})"}, {R"({"a":"x"})"}},
      {R"({"type":"object","additionalProperties":{}})", {R"({"a":[1]})"}, {"[]"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"}},"additionalProperties":true})",
       {R"({"a":1})", R"({"b":"x"})", R"({"a":1,"ab":"x","":2})"},
       {R"({"a":"x"})", R"({"a":1,"a":2})", R"({"\u0061":"x"})"}},
      {R"({"type":"object","properties":{"größe":{"type":"integer"},"a]b\\^-":{"type":"integer"},"q\"":{"type":"null"}},"additionalProperties":{"type":"string"}})",
       {R"({"größe":1,"a]b\\^-":2,"q\"":null,"x":"y"})", R"({"groß":"s"})"},
       {R"({"größe":"1"})", R"({"q\"":"s"})"}},
      {R"({"type":"object","properties":{"a":false,"b":{"type":"integer"}}})", {"{}", R"({"b":1})"}, {R"({"a":1})"}},
      {R"({"type":"object","properties":{"a":{"not":{}},"b":true}})", {"{}", R"({"b":1})"}, {R"({"a":1})"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"},"c":{"type":"integer"}},"minProperties":2})",
       {R"({"a":1,"b":1})", R"({"b":1,"c":1})", R"({"a":1,"b":1,"c":1})"},
       {"{}", R"({"b":1})"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"},"c":{"type":"integer"}},"maxProperties":1})",
       {"{}", R"({"b":1})"},
       {R"({"a":1,"b":1})"}},
      {R"({"type":"object","minProperties":1})", {R"({"a":1})"}, {"{}"}},
      {R"({"type":"object","maxProperties":2,"additionalProperties":{"type":"integer"}})",
       {"{}", R"({"a":1,"b":1})"},
       {R"({"a":1,"b":1,"c":1})"}},
      {R"({"type":"object","maxProperties":0})", {"{}"}, {R"({"a":1})"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],"additionalProperties":{"type":"null"},"minProperties":2,"maxProperties":3})",
       {R"({"a":1,"b":null})", R"({"a":1,"b":null,"c":null})"},
       {R"({"a":1})", R"({"a":1,"b":null,"c":null,"d":null})"}},
      {R"({"type":"object","patternProperties":{"^x-":{"type":"integer"}}})",
       {"{}", R"({"x-a":1})"},
       {R"({"x-a":"s"})", R"({"y":1})"}},
      {R"({"type":"object","patternProperties":{"^x-":{"type":"integer"},"d$":{"minimum":5}},"additionalProperties":false})",
       {R"({"x-a":1,"x-d":5})"},
       {R"({"x-d":4})", R"({"y":1})"}},
      {R"({"type":"object","properties":{"xa":{"minimum":3}},"patternProperties":{"^x":{"type":"integer"}},"additionalProperties":{"type":"string"}})",
       {R"({"xa":3,"xb":1,"c":"s"})"},
       {R"({"xa":2})", R"({"xb":"s"})", R"({"c":1})"}},
      {R"({"type":"object","propertyNames":{"pattern":"^[a-z]+$"}})", {"{}", R"({"abc":1})"}, {R"({"aB":1})"}},
      {R"({"type":"object","propertyNames":{"enum":["a","b"]},"additionalProperties":{"type":"integer"}})",
       {"{}", R"({"a":1,"b":2})"},
       {R"({"c":1})", R"({"a":1,"a":2})"}},
      {R"({"type":"object","propertyNames":{"maxLength":2},"additionalProperties":{"type":"integer"}})",
       {R"({"ab":1})"},
       {R"({"abc":1})"}},
      {R"({"type":"object","properties":{"a":{},"b":{}},"dependentRequired":{"a":["b"]}})",
       {"{}", R"({"b":1})", R"({"a":1,"b":1})"},
       {R"({"a":1})"}},
      {R"({"type":"object","properties":{"a":{},"b":{}},"dependencies":{"a":["b"]}})",
       {"{}", R"({"b":1})", R"({"a":1,"b":1})"},
       {R"({"a":1})"}},
      {R"({"type":"object","properties":{"a":{},"b":{}},"dependentSchemas":{"a":{"properties":{"b":{"type":"integer"}},"required":["b"]}}})",
       {"{}", R"({"b":"x"})", R"({"a":1,"b":1})"},
       {R"({"a":1})", R"({"a":1,"b":"x"})"}},
      {R"({"type":"object","allOf":[{"properties":{"a":{"type":"integer"}}}],"properties":{"b":{"type":"integer"}},"unevaluatedProperties":false})",
       {R"({"b":1,"a":1})", R"({"a":1})"},
       {R"({"c":1})"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"}},"unevaluatedProperties":{"type":"string"}})",
       {R"({"a":1,"b":"s"})"},
       {R"({"b":1})"}},
  });
  check_refused({
      {R"({"type":"object","required":["x"],"additionalProperties":false})",
       "additionalProperties: it allows no value"},
      {R"({"type":"object","properties":{"x":false},"required":["x"]})", "properties.x: it allows no value"},
      {R"({"type":"object","properties":{"x":{"type":"integer","minimum":5,"maximum":1}},"required":["x"]})",
       "properties.x: it allows no value"},
      {R"({"type":"object","properties":[]})", "\"properties\" must be an object"},
      {R"({"type":"object","properties":{"a":3}})", "properties.a: it must be a schema"},
      {R"({"type":"object","properties":{"a":{"required":true}}})",
       "properties.a: \"required\" must be an array of strings"},
      {R"({"type":"object","required":"a"})", "\"required\" must be an array of strings"},
      {R"({"type":"object","additionalProperties":"no"})", "\"additionalProperties\" must be a schema"},
      {R"({"type":"object","minProperties":2})", "\"minProperties\" cannot be enforced"},
      {R"({"type":"object","minProperties":3,"maxProperties":2})", "allows no value"},
      {R"({"type":"object","properties":{"a":{}},"additionalProperties":false,"minProperties":2})", "allows no value"},
      {R"({"type":"object","patternProperties":{"(":{}}})",
       "\"patternProperties\" cannot be enforced: it is no regular expression"},
      {R"({"type":"object","propertyNames":{"enum":["a"]},"required":["b"]})", "allows no value"},
      {R"({"type":"object","dependentRequired":{"a":"b"}})", "must be a schema"},
  });
}

TEST(AnswerSchemaTest, Combined) {
  check({
      {R"({"anyOf":[{"type":"string"},{"type":"integer","minimum":3}]})", {R"("a")", "3"}, {"2", "null"}},
      {R"({"anyOf":[{"type":"string","maxLength":2},{"type":"null"}]})", {R"("ab")", "null"}, {R"("abc")"}},
      {R"({"anyOf":[{"const":"a"},{"const":"b"},{"type":"integer"}]})", {R"("a")", R"("b")", "1"}, {R"("c")"}},
      {R"({"type":"object","anyOf":[{"required":["a"]},{"required":["b"]}],"properties":{"a":{"type":"integer"},"b":{"type":"integer"}}})",
       {R"({"a":1})", R"({"b":1})", R"({"a":1,"b":1})"},
       {"{}"}},
      {R"({"allOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},{"properties":{"b":{"type":"string"}},"required":["b"]}]})",
       {R"({"a":1,"b":"x"})"},
       {R"({"a":1})", R"({"b":"x"})"}},
      {R"({"allOf":[{"type":"integer","minimum":3},{"maximum":5},{"not":{"const":4}}]})", {"3", "5"}, {"2", "4", "6"}},
      {R"({"allOf":[{"properties":{"a":{"minimum":2}}},{"properties":{"a":{"maximum":3}}}],"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]})",
       {R"({"a":2})", R"({"a":3})"},
       {R"({"a":1})", R"({"a":4})"}},
      {R"({"oneOf":[{"type":"string"},{"type":"integer"}]})", {R"("a")", "1"}, {"1.5", "null"}},
      {R"({"oneOf":[{"type":"integer","minimum":2},{"type":"integer","maximum":4}]})", {"1", "5"}, {"2", "3", "4"}},
      {R"({"oneOf":[{"multipleOf":1,"type":"number","maximum":2},{"type":"number","minimum":2}]})", {"1", "3"}, {"2"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"oneOf":[{"required":["a"]},{"required":["b"]}]})",
       {R"({"a":1})", R"({"b":1})"},
       {"{}", R"({"a":1,"b":1})"}},
      {R"({"oneOf":[{"type":"object","properties":{"kind":{"const":"cat"},"lives":{"type":"integer"}},"required":["kind","lives"]},
                    {"type":"object","properties":{"kind":{"const":"dog"},"name":{"type":"string"}},"required":["kind","name"]}]})",
       {R"({"kind":"cat","lives":9})", R"({"kind":"dog","name":"x"})"},
       {R"({"kind":"cat","name":"x"})", R"({"kind":"cow"})"}},
      {R"({"oneOf":[{"type":"object","properties":{"kind":{"const":"cat"},"lives":{"type":"integer"}}},
                    {"type":"object","properties":{"kind":{"const":"dog"},"name":{"type":"string"}}}]})",
       {R"({"kind":"cat"})", R"({"kind":"dog","name":"x"})", R"({"kind":"cat","lives":1})"},
       {"{}", R"({"lives":1})"}},
      {R"({"oneOf":[{"enum":["a","b"]},{"enum":["b","c"]}]})", {R"("a")", R"("c")"}, {R"("b")"}},
      {R"({"type":"string","not":{"enum":["a","b"]}})", {R"("c")", R"("ab")", R"("")"}, {R"("a")", R"("b")"}},
      {R"({"type":"string","not":{"pattern":"^a"}})", {R"("b")", R"("")"}, {R"("a")", R"("ab")"}},
      {R"({"not":{"type":"string"}})", {"1", "{}", "null"}, {R"("a")"}},
      {R"({"not":{"type":["object","array","string","null","boolean"]}})", {"1.5"}, {R"("a")", "{}"}},
      {R"({"type":"integer","not":{"minimum":3}})", {"2", "-1"}, {"3"}},
      {R"({"type":"integer","not":{"const":0}})", {"1", "-1"}, {"0"}},
      {R"({"type":"integer","not":{"enum":[1,3]}})", {"0", "2", "4"}, {"1", "3"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"not":{"required":["a","b"]}})",
       {"{}", R"({"a":1})", R"({"b":1})"},
       {R"({"a":1,"b":1})"}},
      {R"({"not":{"not":{"type":"integer"}}})", {"1"}, {R"("a")"}},
      {R"({"type":"array","items":{"type":"integer"},"not":{"items":{"minimum":5}}})", {"[1]", "[1,9]"}, {"[]", "[5]"}},
      {R"({"type":"object","properties":{"kind":{"enum":["a","b"]},"x":{"type":"integer"}},"required":["kind"],
           "if":{"properties":{"kind":{"const":"a"}}},"then":{"required":["x"]},"else":{"properties":{"x":false}}})",
       {R"({"kind":"a","x":1})", R"({"kind":"b"})"},
       {R"({"kind":"a"})", R"({"kind":"b","x":1})"}},
      {R"({"type":"integer","if":{"minimum":10},"then":{"multipleOf":10},"else":{"maximum":5}})",
       {"10", "20", "5"},
       {"15", "7"}},
      {R"({"type":"integer","then":{"const":1}})", {"2"}, {}},
      {R"({"type":["string","integer"],"minLength":2,"minimum":5})", {R"("ab")", "5"}, {R"("a")", "4"}},
  });
  check_refused({
      {R"({"anyOf":[]})", "\"anyOf\" must be an array that is not empty"},
      {R"({"oneOf":{}})", "\"oneOf\" must be an array"},
      {R"({"allOf":[1]})", "allOf.0: it must be a schema"},
      {R"({"not":7})", "\"not\" must be a schema"},
      {R"({"type":"string","allOf":[{"type":"integer"}]})", "\"allOf\" leaves no value"},
      {R"({"type":"string","not":{"type":"string"}})", "\"not\" cannot be enforced"},
      {R"({"type":"array","not":{"uniqueItems":true}})", "\"not\" cannot be enforced"},
      {R"({"oneOf":[{"type":"string"},{"type":"string"}]})", "\"oneOf\" cannot be enforced"},
      {R"({"type":"string","not":{"format":"date"}})", "\"not\" cannot be enforced"},
  });
}

TEST(AnswerSchemaTest, References) {
  check({
      {R"({"$defs":{"n":{"type":"integer"}},"type":"object","properties":{"a":{"$ref":"#/$defs/n"}},"required":["a"]})",
       {R"({"a":1})"},
       {R"({"a":"x"})"}},
      {R"({"definitions":{"a/b~c %":{"type":"integer"}},"$ref":"#/definitions/a~1b~0c%20%25"})", {"1"}, {R"("x")"}},
      {R"({"$defs":{"n":{"$anchor":"here","type":"integer"}},"items":{"$ref":"#here"},"type":"array"})",
       {"[1]"},
       {R"(["x"])"}},
      {R"({"$id":"https://example.com/root.json","$defs":{"n":{"$id":"n.json","type":"integer"}},"type":"array","items":{"$ref":"n.json"}})",
       {"[1]"},
       {R"(["x"])"}},
      {R"({"$id":"https://example.com/root.json","$defs":{"n":{"type":"integer"}},"type":"array","items":{"$ref":"https://example.com/root.json#/$defs/n"}})",
       {"[1]"},
       {R"(["x"])"}},
      {R"({"definitions":{"n":{"id":"#n","type":"integer"}},"type":"array","items":{"$ref":"#n"}})",
       {"[1]"},
       {R"(["x"])"}},
      {R"({"type":"object","properties":{"name":{"type":"string"},"children":{"type":"array","items":{"$ref":"#"}}},"required":["name"]})",
       {R"({"name":"a","children":[{"name":"b","children":[]},{"name":"c"}]})"},
       {R"({"name":"a","children":[{}]})"}},
      {R"({"$defs":{"tree":{"anyOf":[{"type":"null"},{"type":"object","properties":{"l":{"$ref":"#/$defs/tree"},"r":{"$ref":"#/$defs/tree"}},"required":["l","r"]}]}},"$ref":"#/$defs/tree"})",
       {"null", R"({"l":null,"r":{"l":null,"r":null}})"},
       {"{}", R"({"l":1,"r":null})"}},
      {R"({"$defs":{"tree":{"oneOf":[{"type":"integer"},{"type":"object","properties":{"l":{"$ref":"#/$defs/tree"}},"required":["l"]},{"type":"object","properties":{"r":{"$ref":"#/$defs/tree"}},"required":["r"]}]}},"$ref":"#/$defs/tree"})",
       {"1", R"({"l":{"r":2}})"},
       {R"({"l":1,"r":1})", "{}"}},
      {R"({"$defs":{"a":{"type":"object","properties":{"b":{"$ref":"#/$defs/b"}}},"b":{"type":"object","properties":{"a":{"$ref":"#/$defs/a"}}}},"$ref":"#/$defs/a"})",
       {R"({"b":{"a":{"b":{}}}})"},
       {R"({"a":{}})"}},
      {R"({"$defs":{"a":{"type":"integer"},"a-":{"type":"string"},"a_":{"type":"null"}},"type":"array","prefixItems":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/a-"},{"$ref":"#/$defs/a_"}]})",
       {R"([1,"x",null])"},
       {R"([1,1,1])", R"([1,null,"x"])"}},
      {R"({"$defs":{"n":{"type":"integer"}},"$ref":"#/$defs/n","minimum":3})", {"3"}, {"2"}},
      {R"({"type":"array","items":{"$ref":"#/$defs/l"},"$defs":{"l":[{"type":"integer"}],"m":{}},"maxItems":0})",
       {"[]"},
       {"[1]"}},
      {R"({"properties":{"a":{"type":"integer"},"b":{"$ref":"#/properties/a"}},"required":["a","b"]})",
       {R"({"a":1,"b":2})"},
       {R"({"a":1,"b":"x"})"}},
      {R"({"$recursiveAnchor":true,"type":"object","properties":{"next":{"$recursiveRef":"#"}}})",
       {R"({"next":{"next":{}}})"},
       {R"({"next":1})"}},
      {R"({"properties":{"default":{"properties":{"enum":{"$anchor":"e","type":"integer"}}},"x":{"$ref":"#e"}},"required":["x"]})",
       {R"({"x":1})"},
       {R"({"x":"1"})"}},
  });
  check_refused({
      {R"({"properties":{"a":{"$ref":"#/$defs/none"}},"required":["a"]})",
       "properties.a: \"$ref\" cannot be followed: \"#/$defs/none\" is not in the schema"},
      {R"({"$ref":"https://example.com/schema.json"})", "is not in the schema"},
      {R"({"$ref":"#"})", "leads back to itself"},
      {R"({"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"})", "leads back to itself"},
      {R"({"anyOf":[{"type":"null"},{"$ref":"#"}]})", "leads back to itself"},
      {R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})", "allows no value"},
      {R"({"type":"array","items":{"$ref":"#"},"minItems":1})", "allows no value"},
      {R"({"$ref":5})", "\"$ref\" must be a string"},
      {R"({"not":{"$ref":"#"}})", "leads back to itself"},
      {R"({"$ref":"#/%zz"})", "is not in the schema"},
  });
}

TEST(AnswerSchemaTest, AnnotationsSayNothing) {
  check(
      {{R"({"$schema":"https://json-schema.org/draft/2020-12/schema","$comment":"c","title":"t","description":"d","type":"object",
              "properties":{"a":{"type":"integer","default":3,"examples":[1,"x"],"deprecated":true,"readOnly":true,"writeOnly":false,"x-order":1}},
              "required":["a"],"strict":true})",
        {R"({"a":1})"},
        {R"({"a":"x"})"}}});
}

TEST(AnswerSchemaTest, WhatIsNoSchemaIsRefused) {
  check_refused({{"", "must be a JSON object"},
                 {"[", "must be a JSON object"},
                 {"[]", "must be a JSON object"},
                 {"true", "must be a JSON object"},
                 {"\"{}\"", "must be a JSON object"},
                 {"{\"a\":1e999}", "must be a JSON object"},
                 {"{\"\xff\":1}", "must be a JSON object"}});
}

// Whatever it is made of, a schema is answered soon.
TEST(AnswerSchemaTest, HostileSchemasAreBounded) {
  const auto repeat = [](const std::string& text, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) {
      all += text;
    }
    return all;
  };
  std::vector<std::string> schemas = {
      repeat(R"({"items":)", 5000) + "{}" + repeat("}", 5000),
      repeat(R"({"not":)", 90) + "{}" + repeat("}", 90),
      R"({"type":"string","pattern":")" + repeat("(", 5000) + repeat(")", 5000) + "\"}",
      R"({"type":"string","pattern":")" + repeat("(?=a)", 5000) + "\"}",
      R"({"type":"string","pattern":")" + repeat("[a-z]{1,1000}", 50) + "\"}",
      R"({"type":"string","pattern":")" + repeat("(a|b|ab)*", 200) + "c{500}\"}",
      R"({"type":"array","prefixItems":[)" + repeat("{},", 30000) + "{}]}",
      R"({"type":"array","contains":{},"minContains":1000000000})",
      R"({"type":"object","minProperties":1000000000})",
      R"({"type":"object","maxProperties":1000000000})",
      R"({"type":"integer","minimum":1e300})",
      R"({"type":"integer","multipleOf":1999,"minimum":-1e59,"maximum":1e59})",
      R"({"type":"number","multipleOf":1e-300})",
  };
  std::string chain = R"({"$defs":{)";
  std::string doubled = chain;
  std::string any = chain;
  std::string one = chain;
  for (int i = 0; i < 3000; ++i) {
    chain += fmt::format(R"("d{}":{{"$ref":"#/$defs/d{}"}},)", i, i + 1);
  }
  for (int i = 0; i < 60; ++i) {
    doubled += fmt::format(R"("d{0}":{{"allOf":[{{"$ref":"#/$defs/d{1}"}},{{"$ref":"#/$defs/d{1}"}}]}},)", i, i + 1);
    any += fmt::format(
        R"("d{0}":{{"allOf":[{{"anyOf":[{{"required":["a{0}"]}},{{"required":["b{0}"]}}]}},{{"$ref":"#/$defs/d{1}"}}]}},)",
        i, i + 1);
    one += fmt::format(R"("d{0}":{{"type":"object","oneOf":[{{"required":["a{0}"]}},{{"$ref":"#/$defs/d{1}"}}]}},)", i,
                       i + 1);
  }
  schemas.push_back(chain + R"("d3000":{}},"$ref":"#/$defs/d0"})");
  schemas.push_back(doubled + R"("d60":{}},"$ref":"#/$defs/d0"})");
  schemas.push_back(any + R"("d60":{}},"$ref":"#/$defs/d0"})");
  schemas.push_back(one + R"("d60":{}},"$ref":"#/$defs/d0"})");
  std::string many = R"({"type":"object","properties":{)";
  std::string patterns = R"({"type":"object","patternProperties":{)";
  std::string strings = many;
  std::string branches = R"({"oneOf":[)";
  for (int i = 0; i < 10000; ++i) {
    many += fmt::format(R"({}"p{}":{{"type":"integer"}})", i == 0 ? "" : ",", i);
  }
  for (int i = 0; i < 1000; ++i) {
    strings +=
        fmt::format(R"({}"p{}":{{"type":"string","pattern":"^[a-z]{{{},500}}$"}})", i == 0 ? "" : ",", i, i % 100);
    branches += fmt::format(R"({}{{"properties":{{"p{}":{{"minLength":{}}}}}}})", i == 0 ? "" : ",", i, i);
  }
  for (int i = 0; i < 30; ++i) {
    patterns += fmt::format(R"({}"{}":{{"type":"integer"}})", i == 0 ? "" : ",", static_cast<char>('a' + i % 26));
  }
  schemas.push_back(many + "}}");
  schemas.push_back(strings + "}}");
  schemas.push_back(patterns + "}}");
  schemas.push_back(branches + "]}");
  for (const std::string& schema : schemas) {
    const auto begin = std::chrono::steady_clock::now();
    const auto rules = schema_rules(schema);
    printf("%6ld us %s %s\n",
           std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin).count(),
           schema.substr(0, 60).c_str(),
           rules ? std::to_string(rules->size()).c_str() : rules.error().message.substr(0, 150).c_str());
    if (rules) {
      EXPECT_LT(rules->size(), 20'000'000U) << schema.substr(0, 200);
      EXPECT_TRUE(GrammarForTest(*rules).good()) << schema.substr(0, 200);
    }
    printf("%6ld us\n",
           std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin).count());
  }
}

}  // namespace
}  // namespace hypura
