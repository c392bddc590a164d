// Generator of several models, in all modes, and when things go wrong.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "generate/engine/reference_for_test.h"
#include "generate/generator_for_test.h"
#include "llama/model_with_template_for_test.h"
#include "make_model/make_model.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::HasSubstr;

// Prompts of several passes, most of which give no logits: in all modes as a session evaluates them.
TEST(Generator, LongPromptsTakeSeveralPasses) {
  const std::string prompt =
      "Once upon a time, there was a little rabbit who lived in a hole under a big tree. Every day she went out to "
      "look "
      "for carrots, and every evening she came home.";
  const std::pair<const char*, uint64_t> cases[] = {{"hypura-stories-moe.gguf", 24 * kMiB},
                                                    {"hypura-stories-moe.gguf", 14 * kMiB},
                                                    {"hypura-stories-moe.gguf", kGiB},
                                                    {"hypura-stories-draft.gguf", 8 * kMiB}};
  std::vector<std::string> modes;
  for (const auto& [model, memory] : cases) {
    Generator::Options options = stories(1);
    options.engine.model = kModels / model;
    options.engine.memory = memory;
    options.engine.ubatch = 16;
    const auto engine = Engine::open(options.engine);
    ASSERT_TRUE(engine) << engine.error().message;
    const auto told = (*(*engine)->new_session())->complete(prompt, greedy(16));
    ASSERT_TRUE(told);
    options.parallel = 2;
    const auto generator = open(options);
    ASSERT_NE(generator, nullptr);
    const Heard heard = ask(*generator, continuing(prompt, 16));
    EXPECT_EQ(heard.content, told->text) << to_string(generator->plan().mode());
    EXPECT_GE(generator->stats().passes, 15U + heard.end.prompt_tokens / 16);
    modes.push_back(to_string(generator->plan().mode()));
  }
  EXPECT_THAT(modes, testing::ElementsAre("expert-streaming", "mixed-streaming", "resident", "dense-streaming"));
}

// Whether plain llama.cpp gives a token the same logits alone as beside three others.
bool rows_are_independent(const std::filesystem::path& model) {
  Reference plain(model, 256, 64, 1, 4);
  const std::vector<int32_t> tokens = test_tokens(24);
  const auto width = llama_vocab_n_tokens(llama_model_get_vocab(llama_get_model(plain.context())));
  const auto last = [&](uint32_t sequences) {
    llama_memory_clear(llama_get_memory(plain.context()), true);
    for (uint32_t i = 0; i < tokens.size(); ++i) {
      std::vector<PassToken> pass;
      for (uint32_t sequence = 0; sequence < sequences; ++sequence) {
        pass.push_back({tokens[(i + 5 * sequence) % tokens.size()], i, sequence, true});
      }
      EXPECT_TRUE(plain.decode(pass));
    }
    const float* row = llama_get_logits_ith(plain.context(), 0);
    return std::vector<float>(row, row + width);
  };
  return last(1) == last(4);
}

// A dense model's products and attention round the same for one row as for several on most processors, as long as a
// sequence's cells lie in order: in a context that is not used again they do.
TEST(Generator, FourAtOnceSayWhatEachSaysAlone) {
  Generator::Options options = stories(4);
  options.engine.model = kModels / "hypura-stories-draft.gguf";
  options.engine.memory = 9 * kMiB;
  options.engine.context = 64;
  options.engine.repack = false;  // rows enough for it come together only in company
  if (!rows_are_independent(options.engine.model)) {
    GTEST_SKIP() << "this processor's kernels round differently when they compute several rows";
  }
  std::vector<AnswerRequest> requests;
  std::vector<Heard> alone;
  for (const std::string& beginning : kBeginnings) {
    requests.push_back(continuing(beginning, 30));
    requests.back().logprobs = true;
    requests.back().top_logprobs = 2;
    const auto generator = open(options);
    ASSERT_NE(generator, nullptr);
    EXPECT_EQ(generator->plan().mode(), Mode::kDenseStreaming);
    alone.push_back(ask(*generator, requests.back()));
  }
  const auto generator = open(options);
  ASSERT_NE(generator, nullptr);
  std::vector<std::shared_ptr<HearingSink>> sinks;
  for (const AnswerRequest& request : requests) {
    sinks.push_back(submit(*generator, request));
  }
  for (size_t i = 0; i < sinks.size(); ++i) {
    const Heard together = sinks[i]->wait();
    EXPECT_EQ(together.content, alone[i].content);
    ASSERT_EQ(together.logprobs.size(), 30U);
    for (size_t token = 0; token < 30; ++token) {
      EXPECT_EQ(together.logprobs[token].top, alone[i].logprobs[token].top) << "answer " << i << ", token " << token;
    }
  }
  EXPECT_LE(generator->stats().passes, 60U) << "they share passes";
}

// Layers that attend to a window of the text only.
TEST(Generator, WindowedAttentionReusesWhatIsLeft) {
  const TempDir folder;
  ModelSpec spec;
  spec.arch = "gpt-oss";
  spec.type = "Q8_0";
  spec.output = folder.path() / "model.gguf";
  const auto path = make_model(spec);
  ASSERT_TRUE(path) << path.error().message;
  Generator::Options options = stories(2);
  options.engine.model = *path;
  options.engine.memory = kGiB;
  options.engine.context = 512;
  const auto generator = open(options);
  ASSERT_NE(generator, nullptr);
  AnswerRequest request = continuing("", 20);
  request.context = test_tokens(400);
  request.logprobs = true;
  request.top_logprobs = 2;
  const Heard first = ask(*generator, request);
  EXPECT_EQ(first.end.stop, StopReason::kLength);
  const Heard again = ask(*generator, request);
  EXPECT_EQ(again.end.stop, StopReason::kLength);
  EXPECT_EQ(again.end.cached_prompt_tokens, 399U);
  expect_same_but_for_rounding(first, again);
}

TEST(Generator, TheModelThinksFirstThenKeepsToTheSchema) {
  const TempDir folder;
  Generator::Options options = stories(2);
  options.engine.model = folder.path() / "thinking.gguf";
  options.engine.memory = 16 * kMiB;
  ASSERT_TRUE(
      write_with_template(kModels / "hypura-stories-draft.gguf", options.engine.model, kThinkingTemplate, true));
  const auto generator = open(options);
  ASSERT_NE(generator, nullptr);
  EXPECT_TRUE(generator->card().thinking);
  EXPECT_FALSE(generator->card().tools);
  AnswerRequest request = asking("Tell me about a fox.", 100);
  request.think = false;
  request.json_schema = R"({"type":"object","properties":{"age":{"type":"integer","minimum":1,"maximum":9}},
                            "required":["age"],"additionalProperties":false})";
  const Heard heard = ask(*generator, request);
  EXPECT_EQ(heard.thinking, "");
  EXPECT_EQ(heard.end.thinking_tokens, 0U);
  EXPECT_TRUE(nlohmann::json::parse(heard.content, nullptr, false).is_object()) << heard.content;
  request.think.reset();  // the schema holds for what comes after thinking, if it thinks
  // The schema holds for what comes after thinking, if it thinks.
  const Heard thought = ask(*generator, request);
  const bool answered = nlohmann::json::parse(thought.content, nullptr, false).is_object();
  EXPECT_TRUE(answered || (thought.content.empty() && !thought.thinking.empty())) << thought.content;
  EXPECT_EQ(thought.end.thinking_tokens > 0, !thought.thinking.empty());
  EXPECT_LE(thought.end.thinking_tokens, thought.end.answer_tokens);
  request.tools = {{"f", "", ""}};
  EXPECT_EQ(generator->submit(request, std::make_shared<HearingSink>()).error().code, ErrorCode::kUsage);
}

TEST(Generator, ManyAnswersStayWithinThePlan) {
  const auto generator = open(stories(4));
  ASSERT_NE(generator, nullptr);
  uint64_t ledger = 0;
  for (const LedgerLine& line : generator->plan().ledger) {
    ledger += line.bytes;
  }
  EXPECT_LE(ledger, generator->plan().budget);
  EXPECT_TRUE(generator->plan().warnings.empty() ||
              generator->plan().warnings.back().find("at once") == std::string::npos);
  EngineOptions one = stories(1).engine;
  const auto engine = Engine::open(one);
  ASSERT_TRUE(engine);
  const auto kv = [](const Plan& plan) {
    const auto it = std::find_if(plan.ledger.begin(), plan.ledger.end(),
                                 [](const LedgerLine& line) { return line.purpose == Purpose::kKvCache; });
    return it == plan.ledger.end() ? 0 : it->bytes;
  };
  EXPECT_EQ(kv(generator->plan()), 4 * kv((*engine)->plan()));
}

TEST(Generator, AnswersShareTheCellsThatTheBudgetHolds) {
  Generator::Options options = stories(64);
  options.engine.memory = 20 * kMiB;
  options.engine.context = 1024;
  const auto generator = open(options);
  ASSERT_NE(generator, nullptr);
  const uint32_t parallel = generator->stats().parallel;
  EXPECT_GE(parallel, 4U) << "fewer than 64 only where there is no place for a row of logits for each";
  EXPECT_EQ(generator->context_size(), 1024U);
  const uint32_t cells = generator->stats().context_size;
  EXPECT_LT(cells, parallel * 1024);
  EXPECT_GE(cells, 1024U);
  EXPECT_EQ(generator->plan().cells, cells);
  EXPECT_THAT(generator->plan().context_sentence, HasSubstr("answers; they share a KV cache of"));
}

TEST(Generator, AReadErrorEndsTheAnswersAndNothingElse) {
  const TempDir folder;
  Generator::Options options = stories(2);
  options.engine.memory = 20 * kMiB;
  options.engine.model = folder.path() / "cut.gguf";
  std::filesystem::copy_file(kModels / "hypura-stories-moe.gguf", options.engine.model);
  const auto generator = open(options);
  ASSERT_NE(generator, nullptr);
  const std::string told = ask(*generator, continuing(kBeginnings[0], 8)).content;
  std::filesystem::resize_file(options.engine.model, 20 * kMiB);
  const auto first = submit(*generator, continuing("The old clock was broken into many pieces", 30));
  const auto second = submit(*generator, continuing("Seven ships sailed over the wide green sea", 30));
  for (const auto& sink : {first, second}) {
    const Heard heard = sink->wait();
    EXPECT_EQ(heard.end.stop, StopReason::kError);
    ASSERT_TRUE(heard.end.error);
    EXPECT_EQ(heard.end.error->code, ErrorCode::kIo);
    EXPECT_THAT(heard.end.error->message, HasSubstr("cut.gguf"));
  }
  std::filesystem::copy_file(kModels / "hypura-stories-moe.gguf", folder.path() / "whole.gguf");
  std::filesystem::resize_file(options.engine.model, std::filesystem::file_size(folder.path() / "whole.gguf"));
  // The file's end is zeros now, but reads work again: so does the engine.
  const Heard after = ask(*generator, continuing(kBeginnings[0], 8));
  EXPECT_NE(after.end.stop, StopReason::kError);
}

TEST(Generator, ATemplateThatDoesNotEndEndsItsRequest) {
  const TempDir folder;
  Generator::Options options = stories(1);
  options.engine.model = folder.path() / "sometimes.gguf";
  ASSERT_TRUE(write_with_template(kModels / "hypura-stories-draft.gguf", options.engine.model,
                                  "{% macro m() %}{{ m() }}{% endmacro %}{% if messages[0].content == 'now' %}{{ m() }}"
                                  "{% endif %}{{ messages[0].content }}",
                                  true));
  const auto generator = open(options);
  ASSERT_NE(generator, nullptr);
  AnswerRequest request;
  request.max_tokens = 2;
  request.messages.emplace_back().role = "user";
  request.messages.back().content = "now";
  const auto refused = generator->submit(request, std::make_shared<HearingSink>());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUsage);
  EXPECT_THAT(refused.error().message, HasSubstr("levels deep"));
  request.messages.back().content = "Once upon a time";
  EXPECT_NE(ask(*generator, request).end.stop, StopReason::kError);
}

TEST(Generator, LongRunsAreRefusedOrCut) {
  const auto generator = open(stories(1));
  ASSERT_NE(generator, nullptr);
  for (const char* unit : {"A", "!", " ", "\n", "1", "\u4e2d", "\U0001f600", "<|im_end|>"}) {
    std::string text;
    for (int i = 0; i < 60000; ++i) {
      text += unit;
    }
    AnswerRequest request;
    request.max_tokens = 1;
    request.truncate = false;
    request.messages.emplace_back().role = "user";
    request.messages.back().content = text;
    const auto refused = generator->submit(request, std::make_shared<HearingSink>());
    ASSERT_FALSE(refused) << unit;
    EXPECT_EQ(refused.error().code, ErrorCode::kContextFull) << unit;
    EXPECT_GT(generator->tokenize(text).size(), 100U) << unit;
  }
}

TEST(Generator, WaitsForNobodyWhenClosed) {
  const auto sink = [] {
    const auto generator = open(stories(1));
    return submit(*generator, continuing(kBeginnings[0], 100000));
  }();
  EXPECT_EQ(sink->wait().end.stop, StopReason::kCancelled);
}

}  // namespace
}  // namespace hypura
