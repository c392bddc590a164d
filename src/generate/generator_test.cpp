// Generator end to end on the demo models, streamed: small enough for the sanitizer runs.

#include "hypura/generator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <thread>

#include "generate/engine/reference_for_test.h"
#include "generate/generator_for_test.h"

namespace hypura {
namespace {

using testing::HasSubstr;
using testing::Not;

class GeneratorTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { generator = open(stories(4)); }
  static void TearDownTestSuite() { generator.reset(); }
  void SetUp() override { ASSERT_NE(generator, nullptr); }

  static std::unique_ptr<Generator> generator;
};

std::unique_ptr<Generator> GeneratorTest::generator;

TEST_F(GeneratorTest, AnswersAsASessionDoes) {
  const auto engine = Engine::open(stories(1).engine);
  ASSERT_TRUE(engine) << engine.error().message;
  const auto session = (*engine)->new_session();
  const auto told = (*session)->complete(kBeginnings[0], greedy(30));
  ASSERT_TRUE(told);
  const Heard heard = ask(*generator, continuing(kBeginnings[0], 30));
  EXPECT_EQ(heard.content, told->text);
  EXPECT_GT(heard.pieces, 5U);
  EXPECT_EQ(heard.end.stop, StopReason::kLength);
  EXPECT_EQ(heard.end.answer_tokens, 30U);

  const auto answered = (*session)->chat({{"user", "What is the opposite of hot?"}}, greedy(30));
  ASSERT_TRUE(answered);
  const Heard chat = ask(*generator, asking("What is the opposite of hot?"));
  EXPECT_EQ(chat.content, answered->text);
  EXPECT_EQ(chat.end.stop, StopReason::kEndOfText);
  EXPECT_EQ(chat.end.answer_tokens, answered->tokens.size() + 1) << "the end is a token too";
}

TEST_F(GeneratorTest, GivesOneAnswerWhole) {
  const Heard heard = ask(*generator, continuing(kBeginnings[0], 30));
  std::string pieces;
  const auto answer = generator->generate(continuing(kBeginnings[0], 30), [&](const AnswerPiece& piece) {
    pieces += piece.content;
    return true;
  });
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->said.content, heard.content);
  EXPECT_EQ(pieces, heard.content);
  EXPECT_EQ(answer->end.stop, StopReason::kLength);
  const auto again = generator->generate(continuing(kBeginnings[0], 30));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->said.content, heard.content);
}

TEST_F(GeneratorTest, EndsOneAnswerWhenNoMoreIsWanted) {
  int pieces = 0;
  const auto answer =
      generator->generate(continuing(kBeginnings[0], 200), [&](const AnswerPiece&) { return ++pieces < 3; });
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->end.stop, StopReason::kCancelled);
  EXPECT_EQ(pieces, 3);
  AnswerRequest too_long = continuing(std::string(20'000, 'x'), 1);
  too_long.truncate = false;
  EXPECT_EQ(generator->generate(std::move(too_long)).error().code, ErrorCode::kContextFull);
}

TEST_F(GeneratorTest, ASeedRepeatsItself) {
  const auto fresh = open(stories(4));  // where the answer finds the same cells each time (docs/design/batching.md)
  ASSERT_NE(fresh, nullptr);
  AnswerRequest request = continuing(kBeginnings[1], 20);
  request.sampling.temperature = 1;
  request.sampling.seed = 11;
  ask(*fresh, request);  // from now on the prompt is there
  const std::string first = ask(*fresh, request).content;
  EXPECT_EQ(ask(*fresh, request).content, first);
  request.sampling.seed = 12;
  EXPECT_NE(ask(*fresh, request).content, first);
}

TEST_F(GeneratorTest, APromptThatWasHeardIsNotEvaluatedAgain) {
  const std::string beginning = kBeginnings[2] + " went to the river and looked into the water";
  AnswerRequest request = continuing(beginning, 8);
  request.logprobs = true;
  request.top_logprobs = 2;
  const Heard first = ask(*generator, request);
  const Heard again = ask(*generator, request);
  EXPECT_EQ(again.end.prompt_tokens, first.end.prompt_tokens);
  EXPECT_EQ(again.end.cached_prompt_tokens, first.end.prompt_tokens - 1);
  expect_same_but_for_rounding(first, again);
  AnswerRequest more = continuing("", 8);
  more.context = again.end.tokens;
  more.prompt = " and then";
  EXPECT_GE(ask(*generator, more).end.cached_prompt_tokens, again.end.tokens.size() - 1);
}

TEST_F(GeneratorTest, StopStringsAreNeverSaid) {
  AnswerRequest request = continuing(kBeginnings[0], 40);
  ask(*generator, request);  // from now on the prompt is there
  const std::string whole = ask(*generator, request).content;
  const size_t cut = whole.size() / 2;
  request.stop = {"never said", whole.substr(cut, 9)};  // several tokens, and not at their borders
  const Heard heard = ask(*generator, request);
  EXPECT_EQ(heard.end.stop, StopReason::kStopString);
  EXPECT_EQ(heard.end.stop_string, request.stop[1]);
  EXPECT_EQ(heard.content, whole.substr(0, whole.find(request.stop[1])));
  request.stop = {"never said"};
  EXPECT_EQ(ask(*generator, request).end.stop_string, "");
}

TEST_F(GeneratorTest, AnswersKeepToASchema) {
  AnswerRequest request = asking("Tell me about a fox. Answer in JSON.", 120);
  request.json_schema = R"({"type":"object","properties":{"name":{"type":"string","maxLength":12},
      "age":{"type":"integer","minimum":1,"maximum":9},"kind":{"enum":["fox","bear"]}},
      "required":["name","age","kind"],"additionalProperties":false})";
  const Heard heard = ask(*generator, request);
  EXPECT_EQ(heard.end.stop, StopReason::kEndOfText) << heard.content;
  const auto json = nlohmann::json::parse(heard.content, nullptr, false);
  ASSERT_TRUE(json.is_object()) << heard.content;
  EXPECT_TRUE(json["name"].is_string());
  EXPECT_TRUE(json["age"].is_number_integer());
  EXPECT_TRUE(json["kind"] == "fox" || json["kind"] == "bear");

  AnswerRequest raw = continuing("A fox in JSON: ", 30);
  raw.json_schema = "{}";
  EXPECT_EQ(ask(*generator, raw).content.substr(0, 1), "{");
  raw.json_schema = "[";
  EXPECT_EQ(generator->submit(raw, std::make_shared<HearingSink>()).error().code, ErrorCode::kUsage);
}

TEST_F(GeneratorTest, ARequiredToolIsCalled) {
  AnswerRequest request = asking("What is the weather in Oslo?", 200);
  request.tools = {{"get_weather", "Tells the weather.",
                    R"({"type":"object","properties":{"city":{"enum":["Oslo","Rome"]}},"required":["city"]})"}};
  request.tool_choice = ToolChoice::kRequired;
  const Heard heard = ask(*generator, request);
  ASSERT_EQ(heard.tool_calls.size(), 1U) << heard.content;
  EXPECT_EQ(heard.tool_calls[0].name, "get_weather");
  EXPECT_THAT(heard.tool_calls[0].id, testing::MatchesRegex("call_[a-z0-9]{8}"));
  const auto arguments = nlohmann::json::parse(heard.tool_calls[0].arguments, nullptr, false);
  ASSERT_TRUE(arguments.is_object());
  EXPECT_TRUE(arguments["city"] == "Oslo" || arguments["city"] == "Rome");
  EXPECT_THAT(heard.content, Not(HasSubstr("tool_call")));
}

TEST_F(GeneratorTest, LogprobsAreOfTheTokensSaid) {
  AnswerRequest request = continuing(kBeginnings[3], 10);
  request.logprobs = true;
  request.top_logprobs = 5;
  const Heard heard = ask(*generator, request);
  ASSERT_EQ(heard.logprobs.size(), 10U);
  std::string text;
  for (const TokenLogprob& it : heard.logprobs) {
    text += it.text;
    ASSERT_EQ(it.top.size(), 5U);
    EXPECT_EQ(it.top[0].second, it.logprob) << "greedy takes the likeliest";
    EXPECT_EQ(it.top[0].first, it.text);
    double sum = 0;
    for (size_t i = 0; i < it.top.size(); ++i) {
      sum += std::exp(it.top[i].second);
      EXPECT_TRUE(i == 0 || it.top[i].second <= it.top[i - 1].second);
    }
    EXPECT_LE(sum, 1 + 1e-5);
  }
  EXPECT_EQ(text, heard.content);
}

TEST_F(GeneratorTest, EverySamplerTakesPart) {
  const AnswerRequest plain = continuing(kBeginnings[0], 40);
  AnswerRequest penalised = plain;
  penalised.sampling.presence_penalty = 2;
  penalised.sampling.frequency_penalty = 2;
  penalised.sampling.repeat_last_n = -1;
  EXPECT_NE(ask(*generator, penalised).content, ask(*generator, plain).content);
  AnswerRequest drawn = plain;
  drawn.sampling.temperature = 1;
  drawn.sampling.seed = 3;
  AnswerRequest typical = drawn;
  typical.sampling.typical_p = 0.2F;
  EXPECT_NE(ask(*generator, typical).content, ask(*generator, drawn).content);
  penalised.sampling.repeat_penalty = 0;
  EXPECT_EQ(generator->submit(penalised, std::make_shared<HearingSink>()).error().code, ErrorCode::kUsage);
}

TEST_F(GeneratorTest, AnswersAreCancelled) {
  AnswerRequest endless = continuing(kBeginnings[0], 100000);
  const auto sink = std::make_shared<HearingSink>();
  const auto id = generator->submit(endless, sink);
  ASSERT_TRUE(id);
  sink->wait_for_text();
  generator->cancel(*id);
  EXPECT_EQ(sink->wait().end.stop, StopReason::kCancelled);
  generator->cancel(*id);  // too late: nothing happens
}

TEST_F(GeneratorTest, APromptTooLongIsRefusedOrCut) {
  std::string text = "Once upon a time";
  for (int i = 0; i < 100; ++i) {
    text += ", and then another rabbit came";
  }
  AnswerRequest request = continuing(text, 4);
  request.truncate = false;
  const size_t tokens = generator->tokenize(text).size();
  const auto refused = generator->submit(request, std::make_shared<HearingSink>());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kContextFull);
  EXPECT_THAT(refused.error().message,
              testing::MatchesRegex("prompt is too long: the prompt \\([0-9]+ tokens\\) exceeds the available context "
                                    "size \\(256 tokens\\)"));
  EXPECT_THAT(refused.error().message, HasSubstr(std::to_string(tokens)));
  ASSERT_TRUE(refused.error().overflow);
  EXPECT_EQ(refused.error().overflow->tokens, tokens);
  EXPECT_EQ(refused.error().overflow->limit, 256U);
  request.truncate = true;
  const AnswerEnd end = ask(*generator, request).end;
  EXPECT_EQ(end.prompt_tokens, 128U);
  EXPECT_EQ(end.cut_from, tokens);
  EXPECT_EQ(ask(*generator, continuing(kBeginnings[0], 1)).end.cut_from, 0U);
  request.context_tokens = 64;
  EXPECT_EQ(ask(*generator, request).end.prompt_tokens, 32U);
}

// Megabytes are neither tokenised as a whole nor lost track of.
TEST_F(GeneratorTest, APromptFarTooLongIsRefusedOrCut) {
  std::string text;
  while (text.size() < (1 << 20)) {
    text += "Once upon a time, there was a rabbit. ";
  }
  AnswerRequest raw = continuing(text + "What is the opposite of hot?", 2);
  AnswerRequest chat = asking(raw.prompt.value(), 2);
  AnswerRequest history = asking("What is the opposite of hot?", 2);
  history.messages.insert(history.messages.begin(), {says("system", "You tell stories."), says("user", text)});
  AnswerRequest after = raw;
  after.context = generator->tokenize("Hello");
  for (AnswerRequest request : {raw, chat, history, after}) {
    request.truncate = false;
    const auto refused = generator->submit(request, std::make_shared<HearingSink>());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kContextFull);
    ASSERT_TRUE(refused.error().overflow);
    EXPECT_TRUE(refused.error().overflow->estimated);
    EXPECT_GT(refused.error().overflow->tokens, 100000U);
    request.truncate = true;
    const AnswerEnd end = ask(*generator, request).end;
    EXPECT_FALSE(end.error) << end.error->message;
    EXPECT_LE(end.prompt_tokens, 256U);
    EXPECT_GT(end.cut_from, 100000U);
    EXPECT_THAT(generator->detokenize(end.tokens), HasSubstr("opposite of hot?"));
  }
  const AnswerEnd end = ask(*generator, history).end;
  EXPECT_THAT(generator->detokenize(end.tokens), HasSubstr("You tell stories."));
  const auto embedded = generator->embed({text, true});
  ASSERT_TRUE(embedded);
  EXPECT_EQ(embedded->tokens, 256U);
  EXPECT_GT(embedded->cut_from, 100000U);
  EXPECT_TRUE(generator->embed({text, false}).error().overflow);
}

TEST_F(GeneratorTest, BiasesMoveTheChoice) {
  AnswerRequest request = asking("What is the opposite of hot?", 3);
  const auto wanted = generator->tokenize(" river").back();
  request.sampling.logit_bias = {{wanted, 100.0F}};
  for (const float temperature : {0.0F, 1.0F}) {
    request.sampling.temperature = temperature;
    const Heard heard = ask(*generator, request);
    EXPECT_EQ(std::count(heard.end.tokens.end() - 3, heard.end.tokens.end(), wanted), 3);
  }
  request.sampling.temperature = 0;
  request.sampling.logit_bias = {};
  const Heard free = ask(*generator, request);
  request.sampling.logit_bias = {{free.end.tokens[free.end.prompt_tokens], -100.0F}};
  const Heard banned = ask(*generator, request);
  EXPECT_NE(banned.end.tokens[banned.end.prompt_tokens], free.end.tokens[free.end.prompt_tokens]);
  for (const int32_t token : {-1, 1 << 30}) {
    request.sampling.logit_bias = {{token, 1.0F}};
    EXPECT_EQ(generator->submit(request, std::make_shared<HearingSink>()).error().code, ErrorCode::kUsage);
  }
}

TEST_F(GeneratorTest, ThePromptIsToldBeforeTheAnswer) {
  class Counted : public HearingSink {
   public:
    void on_prompt(uint32_t tokens) override { told = tokens; }
    uint32_t told = 0;
  };
  const auto sink = std::make_shared<Counted>();
  ASSERT_TRUE(generator->submit(asking("What is the opposite of hot?", 2), sink));
  const uint32_t told = sink->told;
  EXPECT_EQ(told, sink->wait().end.prompt_tokens);
}

TEST_F(GeneratorTest, OldMessagesAreLeftOutOfAConversationTooLong) {
  AnswerRequest request;
  request.messages = {says("system", "You tell stories.")};
  for (int i = 0; i < 30; ++i) {
    request.messages.push_back(says("user", "Tell me something about the number " + std::to_string(i)));
    request.messages.push_back(says("assistant", "It is a fine number, as numbers are."));
  }
  request.messages.push_back(says("user", "What is the opposite of hot?"));
  request.sampling.temperature = 0;
  request.max_tokens = 4;
  const Heard heard = ask(*generator, request);
  EXPECT_LE(heard.end.prompt_tokens, 256U);
  EXPECT_GE(heard.end.prompt_tokens, 200U) << "no more than needed is left out";
  const std::string seen = generator->detokenize(heard.end.tokens);
  EXPECT_THAT(seen, HasSubstr("You tell stories."));
  EXPECT_THAT(seen, HasSubstr("the number 29"));
  EXPECT_THAT(seen, Not(HasSubstr("the number 3<")));
  EXPECT_THAT(seen, HasSubstr("opposite of hot?"));
}

TEST_F(GeneratorTest, AFullContextEndsTheAnswerOrIsShifted) {
  AnswerRequest request = continuing(kBeginnings[0], 90);
  request.context_tokens = 48;
  request.shift = false;
  Heard heard = ask(*generator, request);
  EXPECT_EQ(heard.end.stop, StopReason::kContextFull);
  EXPECT_EQ(heard.end.prompt_tokens + heard.end.answer_tokens, 49U);
  request.shift = true;
  heard = ask(*generator, request);
  EXPECT_TRUE(heard.end.stop == StopReason::kLength || heard.end.stop == StopReason::kEndOfText);
  EXPECT_GT(heard.end.prompt_tokens + heard.end.answer_tokens, 49U);
}

TEST_F(GeneratorTest, TheCountsAddUp) {
  const GeneratorStats before = generator->stats();
  const Heard heard = ask(*generator, continuing("A quite different beginning of a story about ships", 6));
  const GeneratorStats after = generator->stats();
  EXPECT_EQ(after.answers - before.answers, 1U);
  EXPECT_EQ(after.prompt_tokens - before.prompt_tokens, heard.end.prompt_tokens);
  EXPECT_EQ(after.batched_tokens - before.batched_tokens, heard.end.prompt_tokens - heard.end.cached_prompt_tokens + 5);
  EXPECT_EQ(after.engine.decoded_tokens - before.engine.decoded_tokens, 5U);
  EXPECT_EQ(after.running, 0U);
  EXPECT_EQ(after.parallel, 4U);
  EXPECT_EQ(after.context_size, 4U * 256U);
  EXPECT_GT(after.context_used, 0U);
  EXPECT_LE(after.context_used, after.context_size);
  EXPECT_GT(heard.end.prompt_seconds, 0);
  EXPECT_GT(heard.end.answer_seconds, 0);
  EXPECT_EQ(heard.end.tokens.size(), heard.end.prompt_tokens + heard.end.answer_tokens);
}

TEST_F(GeneratorTest, EmbeddingsOfLikeTextsAreAlike) {
  const auto embed = [&](const std::string& text) { return generator->embed({text, true}).value(); };
  const Embedding rabbit = embed("The little rabbit ran into the garden.");
  const Embedding hare = embed("The little rabbit ran out of the garden.");
  const Embedding ship = embed("3 + 4 = 7, and 5 + 6 = 11.");
  ASSERT_EQ(rabbit.values.size(), generator->card().embedding_length);
  EXPECT_EQ(rabbit.values, embed("The little rabbit ran into the garden.").values);
  EXPECT_GT(likeness(rabbit.values, hare.values), likeness(rabbit.values, ship.values));
  EXPECT_EQ(rabbit.tokens, generator->tokenize("The little rabbit ran into the garden.").size());
  ask(*generator, continuing(kBeginnings[0], 12));
  const std::string story = ask(*generator, continuing(kBeginnings[0], 12)).content;
  EXPECT_EQ(ask(*generator, continuing(kBeginnings[0], 12)).content, story) << "embeddings leave nothing behind";
  EXPECT_EQ(generator->embed({"", true, generator->tokenize("The little rabbit ran into the garden.")})->values,
            rabbit.values);
  EXPECT_EQ(generator->embed({"", true, {-1}}).error().code, ErrorCode::kUsage);
  EXPECT_EQ(generator->embed({"", true, std::vector<int32_t>(300, 5)})->tokens, 256U);
  EXPECT_EQ(generator->embed({"", false, std::vector<int32_t>(300, 5)}).error().overflow->tokens, 300U);
  const auto refused = generator->embed({std::string(4000, 'x'), false});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kContextFull);
}

// The page looks at it after an answer, too.
TEST_F(GeneratorTest, ShowsTheExpertsOfAShortAnswer) {
  const auto fresh = open(stories(1));
  ASSERT_NE(fresh, nullptr);
  ask(*fresh, continuing(kBeginnings[0], 2));
  uint64_t uses = 0;
  for (int tries = 0; uses == 0 && tries < 500; ++tries) {  // noted once the answer has ended
    for (const LiveLayer& layer : fresh->live()) {
      uses += std::accumulate(layer.used.begin(), layer.used.end(), uint64_t{0});
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_GT(uses, 0U);
}

TEST_F(GeneratorTest, ShowsTheExpertsAsTheyAre) {
  static_cast<void>(generator->live());
  std::this_thread::sleep_for(std::chrono::milliseconds(120));
  ask(*generator, continuing(kBeginnings[0], 20));
  const std::vector<LiveLayer> layers = generator->live();
  ASSERT_EQ(layers.size(), 6U);
  uint64_t uses = 0;
  size_t resident = 0;
  for (const LiveLayer& layer : layers) {
    EXPECT_EQ(layer.resident.size(), 32U);
    ASSERT_EQ(layer.used.size(), 32U);
    resident += static_cast<size_t>(std::count(layer.resident.begin(), layer.resident.end(), '1'));
    uses += std::accumulate(layer.used.begin(), layer.used.end(), uint64_t{0});
  }
  EXPECT_GT(resident, 0U);
  EXPECT_LT(resident, 6U * 32U);
  EXPECT_GT(uses, 0U);
  EXPECT_LE(uses, 64U * 6U * 4U);
}

TEST_F(GeneratorTest, RefusesWhatItCannotDo) {
  const auto code = [&](const AnswerRequest& request) {
    const auto id = generator->submit(request, std::make_shared<HearingSink>());
    return id ? ErrorCode::kInternal : id.error().code;
  };
  EXPECT_EQ(code({}), ErrorCode::kUsage);
  AnswerRequest request = asking("Hi");
  request.think = true;
  EXPECT_EQ(code(request), ErrorCode::kUsage);
  request = asking("Hi");
  request.top_logprobs = 21;
  EXPECT_EQ(code(request), ErrorCode::kUsage);
  request = continuing("Hi", 1);
  request.context = {-1};
  EXPECT_EQ(code(request), ErrorCode::kUsage);
  request = continuing("", 1);
  EXPECT_EQ(code(request), generator->tokenize("").empty() ? ErrorCode::kUsage : ErrorCode::kInternal);
}

}  // namespace
}  // namespace hypura
