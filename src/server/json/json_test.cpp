#include "server/json/json.h"

#include <gtest/gtest.h>

#include <string>

namespace hypura {
namespace {

std::string error_of(const std::string& text) {
  const Result<Json> json = parse_json(text);
  if (json) {
    return "";
  }
  EXPECT_EQ(json.error().code, ErrorCode::kUsage);
  return json.error().message;
}

std::string nested(size_t depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

TEST(Json, KeepsTheOrderOfKeys) {
  const std::string text = R"({"zebra":1,"apple":{"y":2,"x":[true,null]}})";
  EXPECT_EQ(dump_json(parse_json(" " + text + "\n").value()), text);
}

TEST(Json, NamesAMissingBody) {
  EXPECT_EQ(error_of(""), "missing request body");
  EXPECT_EQ(error_of(" \r\n\t"), "missing request body");
}

TEST(Json, TellsWhereTheTextGoesWrong) {
  EXPECT_EQ(error_of(R"({"a": flase})"), "invalid JSON at byte 8");
  EXPECT_EQ(error_of(R"({"a": 1)"), "unexpected EOF: the JSON ends too early");
  EXPECT_EQ(error_of(R"({"a": "open)"), "unexpected EOF: the JSON ends too early");
  EXPECT_NE(error_of(R"({"a":1} {})"), "");
  EXPECT_NE(error_of("{'a':1}"), "");
  EXPECT_NE(error_of("[1e999]"), "");
  EXPECT_NE(error_of("]"), "");
}

TEST(Json, RefusesDeepNesting) {
  EXPECT_EQ(error_of(nested(kMaxJsonDepth)), "");
  EXPECT_EQ(error_of(nested(kMaxJsonDepth + 1)), "the JSON is nested more than 512 deep");
  EXPECT_EQ(error_of(std::string(5'000'000, '[')), "the JSON is nested more than 512 deep");
}

TEST(Json, BracketsInStringsAreNoNesting) {
  EXPECT_EQ(error_of("[\"" + std::string(2000, '[') + "\\\"" + std::string(2000, '{') + "\"]"), "");
}

TEST(Json, RefusesObjectsOfTooManyKeys) {
  const auto object = [](int keys) {
    std::string text = "{\"k\":0";
    for (int i = 0; i < keys; ++i) {
      text += ",\"" + std::to_string(i) + "\":0";
    }
    return text + "}";
  };
  EXPECT_EQ(error_of(object(1000)), "");
  EXPECT_EQ(error_of(object(30'000)), "an object in the JSON has too many keys");
}

TEST(Json, RefusesBytesThatAreNoUtf8) {
  EXPECT_NE(error_of("[\"\xff\"]"), "");
  EXPECT_NE(error_of("[\"\xe4\xbd\"]"), "");
}

TEST(Json, ReadsHalvesOfSurrogatePairsAsReplacementCharacters) {
  EXPECT_EQ(dump_json(parse_json(R"(["a\ud83d"])").value()), "[\"a\xEF\xBF\xBD\"]");
  EXPECT_EQ(dump_json(parse_json(R"(["\ude00b"])").value()),
            "[\"\xEF\xBF\xBD"
            "b\"]");
  EXPECT_EQ(dump_json(parse_json(R"(["\uD83D\ud83d\ude00"])").value()), "[\"\xEF\xBF\xBD\xF0\x9F\x98\x80\"]");
  EXPECT_EQ(dump_json(parse_json(R"(["\\ud83d"])").value()), R"(["\\ud83d"])");
}

TEST(Json, WritesReplacementCharactersForBytesThatAreNoUtf8) {
  EXPECT_EQ(dump_json(Json("a\xff")), "\"a\xEF\xBF\xBD\"");
}

}  // namespace
}  // namespace hypura
