#include "output/held_text.h"

#include <gtest/gtest.h>

#include "llama/tokenizer/control_text.h"
#include "llama/vocabulary_for_test.h"

namespace hypura {
namespace {

class HeldTextTest : public VocabularyTest {
 protected:
  std::unique_ptr<HeldText> held(const AnswerRules& rules) {
    auto made = HeldText::create(vocab_, rules);
    EXPECT_TRUE(made) << made.error().message;
    return made ? std::move(*made) : nullptr;
  }

  // Says `text` as far as it may be said, and gives the rest.
  std::string refused(HeldText& held, const std::string& text) {
    std::string rest = text;
    for (const int32_t token : tokenize_text(vocab_, text, false, true)) {
      if (!held.allows(token)) {
        break;
      }
      held.add(token);
      rest.erase(0, token_text(vocab_, token, true).size());
    }
    return rest;
  }

  bool may_end(const HeldText& held) const { return held.allows(llama_vocab_eot(vocab_.get())); }

  static TextForm form(const std::string& rules, const std::string& opening = "") {
    return {rules, opening, "", {}, ""};
  }
};

const ThinkingMarks kThink = {"<think>", {"</think>"}};

TEST_F(HeldTextTest, TakesAnyOfItsForms) {
  AnswerRules rules;
  rules.forms = {form(R"(root ::= "call" [0-9])", "<|"), form(R"(root ::= "{" [a-z]* "}")")};
  for (const char* text : {"<|call7", "{abc}"}) {
    const auto text_held = held(rules);
    EXPECT_FALSE(may_end(*text_held));
    EXPECT_EQ(refused(*text_held, text), "");
    EXPECT_TRUE(may_end(*text_held));
    EXPECT_FALSE(refused(*text_held, "more").empty());
  }
  EXPECT_EQ(refused(*held(rules), "call7"), "call7") << "without its opening";
}

TEST_F(HeldTextTest, AFormMayHaveToBeginSomehow) {
  AnswerRules rules;
  rules.forms = {form("root ::= (\"a\" [0-9])?")};
  EXPECT_TRUE(may_end(*held(rules)));
  rules.forms[0].begins = {"a7", "a8"};
  EXPECT_FALSE(may_end(*held(rules)));
  EXPECT_EQ(refused(*held(rules), "a8"), "");
  EXPECT_EQ(refused(*held(rules), "a9").back(), '9');
}

TEST_F(HeldTextTest, ThoughtsAreFreeAndAFormFollows) {
  AnswerRules rules;
  rules.forms = {form(R"(root ::= "{" [a-z]* "}")")};
  rules.thinking = kThink;
  const auto text = held(rules);
  EXPECT_EQ(refused(*text, "<think>I {could} say anything."), "");
  EXPECT_FALSE(may_end(*text));
  EXPECT_EQ(text->before_end(), "</think>");
  EXPECT_EQ(refused(*text, "</think>\n\n{abc}"), "");
  EXPECT_TRUE(may_end(*text));
  EXPECT_EQ(refused(*held(rules), "{abc}"), "") << "without thoughts";
}

TEST_F(HeldTextTest, APromptMayEndInAThought) {
  AnswerRules rules;
  rules.forms = {form(R"(root ::= [0-9])")};
  rules.thinking = kThink;
  rules.thinks = true;
  const auto text = held(rules);
  EXPECT_EQ(refused(*text, "hm"), "");
  EXPECT_EQ(refused(*text, "</think>7"), "");
  EXPECT_TRUE(may_end(*text));
}

TEST_F(HeldTextTest, WhatComesAfterThoughtsMayHaveAMark) {
  AnswerRules rules;
  rules.forms = {form(R"(root ::= [0-9])", "final:")};
  rules.thinking = {"analysis:", {"<end>"}};
  rules.after_thinking = "<start>";
  rules.space_after_thinking = false;
  for (const char* said :
       {"final:7", "analysis:hm<end><start>final:7", "analysis:a<end><start>analysis:b<end><start>final:7"}) {
    EXPECT_EQ(refused(*held(rules), said), "") << said;
  }
  EXPECT_NE(refused(*held(rules), "analysis:hm<end>final:7"), "");
}

TEST_F(HeldTextTest, AWaitingFormHoldsFromItsTriggerOn) {
  AnswerRules rules;
  rules.forms = {form(R"(root ::= "CALL" [0-9])")};
  rules.waits = true;
  rules.trigger_words = {"CALL"};
  rules.thinking = kThink;
  const auto text = held(rules);
  EXPECT_TRUE(may_end(*text));
  EXPECT_EQ(refused(*text, "free <think>a CALL x</think> and CALL"), "");
  EXPECT_FALSE(may_end(*text));
  EXPECT_EQ(refused(*text, "x"), "x");
  EXPECT_EQ(refused(*text, "7"), "");
}

TEST_F(HeldTextTest, ATriggerMayBeginInThePrompt) {
  AnswerRules rules;
  rules.forms = {form(R"(root ::= " to=" [a-z]+ "!")")};
  rules.waits = true;
  rules.trigger_patterns = {"<start>( to=)(?!user)"};
  rules.prompt_end = "<start>";
  EXPECT_TRUE(may_end(*held(rules)));
  const auto text = held(rules);
  EXPECT_EQ(refused(*text, " to=f"), "");
  EXPECT_EQ(refused(*text, "7"), "7");
  EXPECT_EQ(refused(*text, "n!"), "");
}

TEST_F(HeldTextTest, ForbiddenTextDoesNotCome) {
  AnswerRules rules;
  rules.forbidden = {"<tool_call>"};
  rules.thinking = kThink;
  const auto text = held(rules);
  EXPECT_EQ(refused(*text, "I would <tool"), "");
  EXPECT_NE(refused(*text, "_call>"), "");
  EXPECT_TRUE(may_end(*text));
}

TEST_F(HeldTextTest, WhatThePromptHoldsCounts) {
  AnswerRules rules;
  rules.forms = {form(R"(root ::= "{\"a\":" [0-9] "}")")};
  rules.forms[0].begun = "{\"a\"";
  EXPECT_EQ(refused(*held(rules), ":7}"), "");
  rules.forms[0].begun = "{\"b\"";
  const auto made = HeldText::create(vocab_, rules);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::kUsage);
}

}  // namespace
}  // namespace hypura
