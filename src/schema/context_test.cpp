#include "schema/context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "schema/answer_schema.h"

namespace hypura::schema {
namespace {

using testing::HasSubstr;

TEST(SchemaContextTest, WhatIsShownIsShortAndOnOneLine) {
  EXPECT_EQ(in_short("properties.age"), "properties.age");
  EXPECT_EQ(in_short("a\nb\x1b[31m\x7f"), "a b [31m ");
  EXPECT_EQ(in_short(std::string(400, 'x')), std::string(300, 'x') + "…");
  const std::string cut = in_short(std::string(299, 'x') + "漢字");
  EXPECT_EQ(cut, std::string(299, 'x') + "…");
}

TEST(SchemaContextTest, MessagesNameOnlySoMuchOfASchema) {
  const std::string name(100'000, 'n');
  for (const std::string& schema :
       {R"({"required":[")" + name + R"("],"properties":{")" + name + R"(":{"type":7}}})",
        R"({"$ref":"#/)" + name + R"("})", R"({"type":")" + name + R"("})", R"({"format":")" + name + R"("})"}) {
    const auto rules = schema_rules(schema);
    ASSERT_FALSE(rules);
    EXPECT_LT(rules.error().message.size(), 1000U);
    EXPECT_THAT(rules.error().message, HasSubstr("…"));
  }
}

}  // namespace
}  // namespace hypura::schema
