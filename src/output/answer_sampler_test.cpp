#include "output/answer_sampler.h"

#include <gtest/gtest.h>

#include <cmath>

#include "llama/tokenizer/control_text.h"
#include "llama/tokenizer/deep_stack.h"
#include "llama/vocabulary_for_test.h"
#include "support/sanitized_for_test.h"

namespace hypura {
namespace {

class AnswerSamplerTest : public VocabularyTest {
 protected:
  void SetUp() override {
    VocabularyTest::SetUp();
    options_.temperature = 0;
  }

  std::unique_ptr<AnswerSampler> sampler(const AnswerRules& rules) {
    auto made = AnswerSampler::create(options_, vocab_, rules);
    EXPECT_TRUE(made) << made.error().message;
    return made ? std::move(*made) : nullptr;
  }

  std::vector<int32_t> tokens(const std::string& text) const { return tokenize_text(vocab_, text, false, false); }

  // What is chosen by a model that wants `token` most, and then low numbers.
  std::string chosen(AnswerSampler& sampler, int32_t token) {
    std::vector<float> logits(static_cast<size_t>(vocab_.size()));
    for (size_t i = 0; i < logits.size(); ++i) {
      logits[i] = -static_cast<float>(i) / 1000;
    }
    logits[static_cast<size_t>(token)] = 100;
    const auto sampled = sampler.sample(logits.data());
    return sampled ? token_text(vocab_, *sampled, true) : "nothing: " + sampled.error().message;
  }

  // What is said by a model that wants to say `text`.
  std::string said(AnswerSampler& sampler, const std::string& text) {
    std::string all;
    for (const int32_t token : tokens(text)) {
      all += chosen(sampler, token);
    }
    return all;
  }

  SamplingOptions options_;
};

TEST_F(AnswerSamplerTest, FreeTextIsTheModels) {
  EXPECT_EQ(said(*sampler({}), "Once upon a time"), "Once upon a time");
}

TEST_F(AnswerSamplerTest, AGrammarHoldsTheText) {
  AnswerRules rules;
  rules.forms = {{"root ::= \"a\" [0-9] \"z\"", "", "", {}, ""}};
  const auto it = sampler(rules);
  EXPECT_EQ(chosen(*it, tokens("q")[0]).substr(0, 1), "a");
  std::string all = "a";
  while (all.size() < 3) {
    all += chosen(*it, tokens("7")[0]);
  }
  EXPECT_EQ(all, "a7z");
  EXPECT_TRUE(vocab_.ends_text(tokenize_text(vocab_, chosen(*it, tokens("more")[0]), false, true)[0]));
}

TEST_F(AnswerSamplerTest, WhatThePromptHoldsOfTheTextCounts) {
  AnswerRules rules;
  rules.forms = {{"root ::= \"begin:\" [0-9]", "", "", {}, ""}};
  rules.forms[0].begun = "begin:";
  EXPECT_EQ(chosen(*sampler(rules), tokens("7")[0]), "7");
}

// On a stack that is not large enough for a search in all of the text.
TEST_F(AnswerSamplerTest, LongTextsAreSearchedForTriggers) {
  if (kAddressSanitized) {
    GTEST_SKIP() << "the stack is not large enough for a search in some of the text either";
  }
  for (const auto& [pattern, unit] :
       std::vector<std::pair<const char*, const char*>>{{"\\s+CALL", "\n"}, {"[^<]*?CALL", "a"}}) {
    AnswerRules rules;
    rules.forms = {{"root ::= [\\na]* \"CALL\" [0-9]", "", "", {}, ""}};
    rules.waits = true;
    rules.trigger_patterns = {pattern};
    const int32_t token = tokens(unit).back();
    std::string all;
    EXPECT_TRUE(run_on_stack(320 * 1024, [&] {
      const auto it = sampler(rules);
      for (int i = 0; i < 1200; ++i) {
        all = chosen(*it, token);
      }
      said(*it, "CALL");
      all = chosen(*it, tokens("7").back());
    }));
    EXPECT_EQ(all, "7");
  }
}

TEST_F(AnswerSamplerTest, ALazyGrammarWaits) {
  AnswerRules rules;
  rules.forms = {{"root ::= \"CALL\" [0-9]", "", "", {}, ""}};
  rules.waits = true;
  rules.trigger_words = {"CALL"};
  const auto it = sampler(rules);
  EXPECT_EQ(said(*it, "free text CALL"), "free text CALL");
  const std::string next = chosen(*it, tokens("x")[0]);
  EXPECT_TRUE(next.size() == 1 && next[0] >= '0' && next[0] <= '9') << next;
}

TEST_F(AnswerSamplerTest, ALazyGrammarDoesNotMindThoughts) {
  AnswerRules rules;
  rules.forms = {{"root ::= \"CALL\" [0-9]", "", "", {}, ""}};
  rules.waits = true;
  rules.trigger_words = {"CALL"};
  rules.thinking.start = "(";
  rules.thinking.ends = {")"};
  const auto it = sampler(rules);
  EXPECT_EQ(chosen(*it, tokens("(")[0]), "(");
  EXPECT_EQ(said(*it, "I could CALL him"), "I could CALL him");
  EXPECT_EQ(chosen(*it, tokens(")")[0]), ")");
  EXPECT_EQ(said(*it, "CALL"), "CALL");
  const std::string next = chosen(*it, tokens("x")[0]);
  EXPECT_TRUE(next.size() == 1 && next[0] >= '0' && next[0] <= '9') << next;
}

TEST_F(AnswerSamplerTest, GrammarsThatAreNoneAreRefused) {
  AnswerRules rules;
  for (const char* text : {"root ::= (", "other ::= \"a\"", "root ::= root \"a\""}) {
    rules.forms = {{text, "", "", {}, ""}};
    const auto made = AnswerSampler::create(options_, vocab_, rules);
    ASSERT_FALSE(made) << text;
    EXPECT_EQ(made.error().code, ErrorCode::kUsage);
  }
  rules.forms = {{"root ::= \"a\"", "", "", {}, ""}};
  rules.forms[0].begun = "b";
  EXPECT_FALSE(AnswerSampler::create(options_, vocab_, rules)) << "the prompt left it already";
}

TEST_F(AnswerSamplerTest, LogitsThatAreNoNumbersAreAnError) {
  const auto it = sampler({});
  const std::vector<float> logits(static_cast<size_t>(vocab_.size()), NAN);
  const auto sampled = it->sample(logits.data());
  ASSERT_FALSE(sampled);
  EXPECT_EQ(sampled.error().code, ErrorCode::kInternal);
}

TEST_F(AnswerSamplerTest, PenaltiesSeeThePrompt) {
  options_.presence_penalty = 200;
  const auto it = sampler({});
  const int32_t token = tokens("x")[0];
  it->accept_prompt(std::span(&token, 1));
  EXPECT_NE(chosen(*it, token), "x");
}

}  // namespace
}  // namespace hypura
