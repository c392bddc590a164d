#include "templates/template_refusal.h"

#include <gtest/gtest.h>

namespace hypura {
namespace {

TEST(TemplateRefusal, TheRuleWithoutTheTemplatesSource) {
  EXPECT_EQ(refused_rule("\n------------\nWhile executing CallExpression at line 18, column 32 in source:\n"
                         "...{%- if x %}↵ {{- raise_exception(\"Roles\n  must alternate.\") }}...\n          ^\n"
                         "Error: Jinja Exception: Roles\n  must alternate."),
            "Roles must alternate");
  EXPECT_EQ(
      refused_rule("Unable to generate parser for this template. Automatic parser generation failed: \n"
                   "------------\nWhile executing A at line 1, column 1 in source:\n...x...\n   ^\nError: No user"),
      "No user");
  EXPECT_EQ(refused_rule("no such thing"), "no such thing");
  EXPECT_EQ(refused_rule(""), "");
}

TEST(TemplateRefusal, ALongRuleIsCutBetweenCharacters) {
  std::string text = "x";
  for (int i = 0; i < 1000; ++i) {
    text += "é";
  }
  const std::string rule = refused_rule(text);
  EXPECT_LT(rule.size(), 420U);
  EXPECT_EQ(rule.substr(rule.size() - 5), "é…");
}

}  // namespace
}  // namespace hypura
