#include "engine/answer_sampler.h"

#include <gtest/gtest.h>

#include "engine/control_text.h"
#include "engine/deep_stack.h"
#include "engine/vocabulary_for_test.h"

namespace hypura {
namespace {

class AnswerSamplerTest : public VocabularyTest {
 protected:
  void SetUp() override {
    VocabularyTest::SetUp();
    options_.temperature = 0;
  }

  std::unique_ptr<AnswerSampler> sampler(const Grammar& grammar) {
    auto made = AnswerSampler::create(options_, vocab_, grammar);
    EXPECT_TRUE(made) << made.error().message;
    return made ? std::move(*made) : nullptr;
  }

  std::vector<int32_t> tokens(const std::string& text) const { return tokenize_text(vocab_, text, false, false); }

  // What is chosen by a model that wants `token` most, and then low numbers.
  std::string chosen(AnswerSampler& sampler, int32_t token) {
    std::vector<float> logits(static_cast<size_t>(llama_vocab_n_tokens(vocab_)));
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
  Grammar grammar;
  grammar.rules = "root ::= \"a\" [0-9] \"z\"";
  const auto it = sampler(grammar);
  EXPECT_EQ(chosen(*it, tokens("q")[0]).substr(0, 1), "a");
  std::string all = "a";
  while (all.size() < 3) {
    all += chosen(*it, tokens("7")[0]);
  }
  EXPECT_EQ(all, "a7z");
  EXPECT_TRUE(llama_vocab_is_eog(vocab_, tokenize_text(vocab_, chosen(*it, tokens("more")[0]), false, true)[0]));
}

TEST_F(AnswerSamplerTest, WhatThePromptHoldsOfTheTextCounts) {
  Grammar grammar;
  grammar.rules = "root ::= \"begin:\" [0-9]";
  grammar.begun = tokens("begin:");
  EXPECT_EQ(chosen(*sampler(grammar), tokens("7")[0]), "7");
}

TEST_F(AnswerSamplerTest, KnowsWhatTriggersRepeat) {
  EXPECT_EQ(trigger_repeats({"<tool_call>", "a\\+b\\*", "x(?:y|z)"}), TriggerRepeats::kNothing);
  EXPECT_EQ(trigger_repeats({"CALL", "^\\s+to$"}), TriggerRepeats::kBlanks);
  EXPECT_EQ(trigger_repeats({"^\\s+to$", "to=[^<]*?<"}), TriggerRepeats::kAnything);
}

// On a stack that is not large enough for llama.cpp's search.
TEST_F(AnswerSamplerTest, LongTextsAreSearchedForTriggers) {
  for (const auto& [pattern, unit] :
       std::vector<std::pair<const char*, const char*>>{{"^\\s+CALL", "\n"}, {"^[^<]*?CALL", "a"}}) {
    Grammar grammar;
    grammar.rules = "root ::= [\\na]* \"CALL\" [0-9]";
    grammar.lazy = true;
    grammar.trigger_patterns = {pattern};
    std::string all;
    EXPECT_TRUE(run_on_stack(640 * 1024, [&] {
      const auto it = sampler(grammar);
      const int32_t token = tokens(unit).back();
      for (int i = 0; i < 2500; ++i) {
        all = chosen(*it, token);
      }
      said(*it, "CALL");
      all = chosen(*it, tokens("7").back());
    }));
    EXPECT_EQ(all, "7");
  }
}

TEST_F(AnswerSamplerTest, ALazyGrammarWaits) {
  Grammar grammar;
  grammar.rules = "root ::= \"CALL\" [0-9]";
  grammar.lazy = true;
  grammar.trigger_patterns = {"CALL"};
  const auto it = sampler(grammar);
  EXPECT_EQ(said(*it, "free text CALL"), "free text CALL");
  const std::string next = chosen(*it, tokens("x")[0]);
  EXPECT_TRUE(next.size() == 1 && next[0] >= '0' && next[0] <= '9') << next;
}

TEST_F(AnswerSamplerTest, ALazyGrammarDoesNotMindThoughts) {
  Grammar grammar;
  grammar.rules = "root ::= \"CALL\" [0-9]";
  grammar.lazy = true;
  grammar.trigger_patterns = {"CALL"};
  grammar.thinking_start = tokens("(");
  grammar.thinking_ends = {tokens(")")};
  const auto it = sampler(grammar);
  EXPECT_EQ(chosen(*it, tokens("(")[0]), "(");
  EXPECT_EQ(said(*it, "I could CALL him"), "I could CALL him");
  EXPECT_EQ(chosen(*it, tokens(")")[0]), ")");
  EXPECT_EQ(said(*it, "CALL"), "CALL");
  const std::string next = chosen(*it, tokens("x")[0]);
  EXPECT_TRUE(next.size() == 1 && next[0] >= '0' && next[0] <= '9') << next;
}

TEST_F(AnswerSamplerTest, GrammarsThatAreNoneAreRefused) {
  Grammar grammar;
  for (const char* rules : {"root ::= (", "other ::= \"a\"", "root ::= root \"a\""}) {
    grammar.rules = rules;
    const auto made = AnswerSampler::create(options_, vocab_, grammar);
    ASSERT_FALSE(made) << rules;
    EXPECT_EQ(made.error().code, ErrorCode::kUsage);
  }
  grammar.rules = "root ::= \"a\"";
  grammar.begun = tokens("b");
  EXPECT_FALSE(AnswerSampler::create(options_, vocab_, grammar)) << "the prompt left it already";
}

TEST_F(AnswerSamplerTest, LogitsThatAreNoNumbersAreAnError) {
  const auto it = sampler({});
  const std::vector<float> logits(static_cast<size_t>(llama_vocab_n_tokens(vocab_)), NAN);
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
