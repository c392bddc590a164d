#include "server/json/fields.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/json/format_field.h"

namespace hypura {
namespace {

// What reading `read` says of one object.
template <class Read>
std::string error_of(const std::string& text, Read read) {
  const Json json = parse_json(text).value();
  Fields fields(json, "ChatRequest");
  read(fields);
  return fields.status() ? "" : fields.status().error().message;
}

TEST(Fields, ReadsEachType) {
  const Json json = parse_json(R"({"t":"x","b":true,"i":-3,"n":0.5,"ts":["a","b"],"ids":[1,2],"o":{},"a":[]})").value();
  Fields fields(json, "ChatRequest");
  EXPECT_EQ(fields.text("t"), "x");
  EXPECT_EQ(fields.boolean("b"), true);
  EXPECT_EQ(fields.integer("i"), -3);
  EXPECT_EQ(fields.number("n"), 0.5);
  EXPECT_EQ(fields.number("i"), -3);
  EXPECT_EQ(fields.texts("ts"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(fields.tokens("ids"), (std::vector<int32_t>{1, 2}));
  EXPECT_NE(fields.object("o"), nullptr);
  EXPECT_NE(fields.array("a"), nullptr);
  EXPECT_TRUE(fields.status());
}

TEST(Fields, NullIsAbsent) {
  const Json json = parse_json(R"({"x":null})").value();
  Fields fields(json, "ChatRequest");
  for (const char* key : {"x", "y"}) {
    EXPECT_EQ(fields.find(key), nullptr);
    EXPECT_EQ(fields.text(key), std::nullopt);
    EXPECT_EQ(fields.boolean(key), std::nullopt);
    EXPECT_EQ(fields.integer(key), std::nullopt);
    EXPECT_EQ(fields.number(key), std::nullopt);
    EXPECT_EQ(fields.texts(key), std::nullopt);
    EXPECT_EQ(fields.tokens(key), std::nullopt);
    EXPECT_EQ(fields.object(key), nullptr);
    EXPECT_EQ(fields.array(key), nullptr);
  }
  EXPECT_TRUE(fields.status());
}

TEST(Fields, NamesTheFieldOfAWrongType) {
  EXPECT_EQ(error_of(R"({"model":5})", [](Fields& in) { in.text("model"); }),
            "json: cannot unmarshal number into Go struct field ChatRequest.model of type string");
  EXPECT_EQ(error_of(R"({"stream":"yes"})", [](Fields& in) { in.boolean("stream"); }),
            "json: cannot unmarshal string into Go struct field ChatRequest.stream of type bool");
  EXPECT_EQ(error_of(R"({"n":1.5})", [](Fields& in) { in.integer("n"); }),
            "json: cannot unmarshal number 1.5 into Go struct field ChatRequest.n of type int");
  EXPECT_EQ(error_of(R"({"n":18446744073709551615})", [](Fields& in) { in.integer("n"); }),
            "json: cannot unmarshal number 18446744073709551615 into Go struct field ChatRequest.n of type int");
  EXPECT_EQ(error_of(R"({"n":true})", [](Fields& in) { in.integer("n"); }),
            "json: cannot unmarshal bool into Go struct field ChatRequest.n of type int");
  EXPECT_EQ(error_of(R"({"n":[]})", [](Fields& in) { in.number("n"); }),
            "json: cannot unmarshal array into Go struct field ChatRequest.n of type float64");
  EXPECT_EQ(error_of(R"({"stop":["a",{}]})", [](Fields& in) { in.texts("stop"); }),
            "json: cannot unmarshal object into Go struct field ChatRequest.stop of type string");
  EXPECT_EQ(error_of(R"({"context":[1,-1]})", [](Fields& in) { in.tokens("context"); }),
            "json: cannot unmarshal number -1 into Go struct field ChatRequest.context of type int");
  EXPECT_EQ(error_of(R"({"options":[]})", [](Fields& in) { in.object("options"); }),
            "json: cannot unmarshal array into Go struct field ChatRequest.options of type object");
  EXPECT_EQ(error_of(R"({"tools":{}})", [](Fields& in) { in.array("tools"); }),
            "json: cannot unmarshal object into Go struct field ChatRequest.tools of type array");
  EXPECT_EQ(error_of("[]", [](Fields& in) { in.text("model"); }),
            "json: cannot unmarshal array into Go value of type ChatRequest: it must be an object");
}

TEST(Fields, KeepTheFirstError) {
  EXPECT_EQ(error_of(R"({"a":1,"b":2})",
                     [](Fields& in) {
                       in.text("a");
                       EXPECT_EQ(in.integer("b"), std::nullopt);
                       in.text("b");
                       in.refuse({ErrorCode::kUsage, "later"});
                     }),
            "json: cannot unmarshal number into Go struct field ChatRequest.a of type string");
}

TEST(FormatField, IsASchemaOrNothing) {
  const auto format = [](const char* text) {
    const Json json = parse_json(text).value();
    return read_format(&json);
  };
  EXPECT_EQ(read_format(nullptr).value(), std::nullopt);
  EXPECT_EQ(format("null").value(), std::nullopt);
  EXPECT_EQ(format("\"\"").value(), std::nullopt);
  EXPECT_EQ(format("\"json\"").value(), "{}");
  EXPECT_EQ(format(R"({"type":"object","properties":{"b":{},"a":{}}})").value(),
            R"({"type":"object","properties":{"b":{},"a":{}}})");
  for (const char* bad : {"\"xml\"", "5", "true", "[]"}) {
    const auto refused = format(bad);
    ASSERT_FALSE(refused) << bad;
    EXPECT_EQ(refused.error().message,
              "invalid format: " + std::string(bad) + "; expected \"json\" or a valid JSON Schema object");
  }
}

}  // namespace
}  // namespace hypura
