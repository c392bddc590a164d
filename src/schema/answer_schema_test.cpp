#include "schema/answer_schema.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "schema/answer_schema_for_test.h"

namespace hypura {
namespace {

using schema::GrammarForTest;

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

}  // namespace
}  // namespace hypura
