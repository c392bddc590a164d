#include "templates/template_values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hypura {
namespace {

using Values = std::map<std::string, std::string>;

TEST(TemplateValues, AreJsonByName) {
  EXPECT_EQ(template_values("", nullptr).value(), Values());
  EXPECT_EQ(template_values("{}", nullptr).value(), Values());
  EXPECT_EQ(template_values(R"({"a":"x","b":[1,{"c":null}],"d":true})", nullptr).value(),
            (Values{{"a", "\"x\""}, {"b", R"([1,{"c":null}])"}, {"d", "true"}}));
}

TEST(TemplateValues, WhatTheRequestDecidesIsRefusedByName) {
  for (const char* name : {"messages", "tools", "bos_token", "add_generation_prompt", "enable_thinking"}) {
    const auto values = template_values(R"({")" + std::string(name) + R"(":1})", nullptr);
    ASSERT_FALSE(values) << name;
    EXPECT_EQ(values.error().code, ErrorCode::kUsage);
    EXPECT_THAT(values.error().message, testing::HasSubstr(name));
  }
}

TEST(TemplateValues, WhatIsNoObjectIsRefused) {
  for (const std::string& json : {std::string("[]"), std::string("7"), std::string("{"),
                                  R"({"a":)" + std::string(5000, '[') + std::string(5000, ']') + "}"}) {
    EXPECT_FALSE(template_values(json, nullptr)) << json.substr(0, 9);
  }
}

}  // namespace
}  // namespace hypura
