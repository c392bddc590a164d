// A conversation goes on where it was after the engine was closed and opened again.

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "hypura/generator.h"
#include "kv/kv_entry.h"
#include "make_model/zero_model.h"
#include "support/environment_for_test.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

class KeptKvEngineTest : public testing::Test {
 protected:
  static EngineOptions options_of(bool keep, uint64_t memory) {
    EngineOptions options;
    options.model = std::filesystem::path(HYPURA_SOURCE_DIR) / "models" / "hypura-stories-moe.gguf";
    options.memory = memory;
    options.context = 1024;
    options.threads = 1;
    options.ubatch = 64;
    options.resident = false;
    options.run_history = false;
    options.keep_kv = keep;
    options.kv_disk = 256 * kMiB;
    return options;
  }
  static std::unique_ptr<Engine> open(bool keep, uint64_t memory = 120 * kMiB) {
    auto engine = Engine::open(options_of(keep, memory));
    EXPECT_TRUE(engine) << engine.error().message;
    return std::move(*engine);
  }

  // About 550 tokens, then a question.
  static std::vector<ChatMessage> conversation() {
    std::string story;
    for (int i = 0; i < 46; ++i) {
      story += "Once upon a time there was a small dog number " + std::to_string(i) + ". ";
    }
    return {{"user", story}};
  }

  std::unique_ptr<Generator> serve(uint32_t parallel = 1) const {
    Generator::Options options;
    options.engine = options_of(true, 120 * kMiB);
    options.parallel = parallel;
    auto generator = Generator::open(options);
    EXPECT_TRUE(generator) << generator.error().message;
    return std::move(*generator);
  }
  static WholeAnswer answer(Generator& generator, std::vector<ChatMessage> messages) {
    AnswerRequest request;
    request.messages = std::move(messages);
    request.sampling.temperature = 0;
    request.max_tokens = 12;
    request.logprobs = true;
    auto answer = generator.generate(std::move(request));
    EXPECT_TRUE(answer) << answer.error().message;
    return answer ? std::move(*answer) : WholeAnswer();
  }
  static void expect_same(const WholeAnswer& actual, const WholeAnswer& expected) {
    EXPECT_EQ(actual.said.content, expected.said.content);
    ASSERT_EQ(actual.said.logprobs.size(), expected.said.logprobs.size());
    for (size_t i = 0; i < actual.said.logprobs.size(); ++i) {
      EXPECT_EQ(actual.said.logprobs[i].logprob, expected.said.logprobs[i].logprob) << "token " << i;
    }
  }

  struct Turn {
    std::string text;
    uint64_t evaluated = 0;
  };
  static Turn ask(Engine& engine, const std::vector<ChatMessage>& messages) {
    const auto session = engine.new_session();
    GenerateOptions options;
    options.sampling.temperature = 0;
    options.max_tokens = 12;
    const uint64_t before = engine.stats().prompt_tokens;
    const auto answer = (*session)->chat(messages, options);
    EXPECT_TRUE(answer) << answer.error().message;
    return {answer ? answer->text : "", engine.stats().prompt_tokens - before};
  }

  TempDir folder_;
  EnvironmentVariable caches_{"XDG_CACHE_HOME", folder_.path().c_str()};
};

TEST_F(KeptKvEngineTest, ARestartLosesNoMoreThanABlock) {
  std::vector<ChatMessage> messages = conversation();
  Turn first;
  {
    const auto engine = open(true);
    first = ask(*engine, messages);
    EXPECT_GT(first.evaluated, 512U);
    EXPECT_GT(engine->stats().kv_host_entries, 1U);
  }
  messages.push_back({"assistant", first.text});
  messages.push_back({"user", "And then?"});
  const auto engine = open(true);
  EXPECT_GT(engine->stats().kv_disk_entries, 1U);
  EXPECT_EQ(engine->stats().kv_written_bytes, 0U);
  const Turn next = ask(*engine, messages);
  EXPECT_LT(next.evaluated, kKvBlockTokens + 40U);
  EXPECT_GE(engine->stats().kv_restored_tokens, 512U);
  EXPECT_GT(engine->stats().kv_read_bytes, 0U);
  EXPECT_EQ(next.text, ask(*open(false), messages).text);
}

// Passes of 64 tokens: those after what is fetched are the same as without.
TEST_F(KeptKvEngineTest, AServerAnswersTheSameBitsAfterARestart) {
  WholeAnswer first;
  {
    const auto generator = serve();
    first = answer(*generator, conversation());
    EXPECT_EQ(first.end.cached_prompt_tokens, 0U);
    for (int i = 0; i < 5000 && generator->stats().engine.kv_disk_entries < 2; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_GE(generator->stats().engine.kv_disk_entries, 2U) << "written while it is idle";
  }
  const auto generator = serve();
  const WholeAnswer again = answer(*generator, conversation());
  EXPECT_GE(again.end.cached_prompt_tokens, 512U);
  EXPECT_EQ(again.end.prompt_tokens, first.end.prompt_tokens);
  EXPECT_EQ(generator->stats().engine.kv_restored_tokens, again.end.cached_prompt_tokens);
  EXPECT_EQ(generator->stats().cached_tokens, again.end.cached_prompt_tokens);
  expect_same(again, first);
}

TEST_F(KeptKvEngineTest, WhatLostItsPlaceGoesOnAndAnotherTailWhereItParts) {
  const auto generator = serve();
  const WholeAnswer first = answer(*generator, conversation());
  std::vector<ChatMessage> other = conversation();
  other.front().content.insert(0, "Something else. ");
  EXPECT_LT(answer(*generator, other).end.cached_prompt_tokens, 256U);
  const WholeAnswer again = answer(*generator, conversation());
  EXPECT_GE(again.end.cached_prompt_tokens, 512U);
  EXPECT_EQ(again.said.content, first.said.content);
  std::vector<ChatMessage> tail = other;
  tail.front().content.resize(tail.front().content.size() - 500);
  tail.front().content += "But the cat was large.";
  EXPECT_GE(answer(*generator, tail).end.cached_prompt_tokens, 256U);
}

// Its state cannot be cut: it goes on where the answer ended.
TEST_F(KeptKvEngineTest, ARecurrentModelGoesOnAfterARestart) {
  Generator::Options options;
  options.engine = options_of(true, 120 * kMiB);
  options.engine.model = folder_.write("recurrent.gguf", zero_mamba().bytes());
  options.engine.context = 512;
  options.parallel = 2;
  AnswerRequest request;
  request.prompt = std::string(300, 'x');
  request.max_tokens = 4;
  {
    const auto generator = Generator::open(options);
    ASSERT_TRUE(generator) << generator.error().message;
    const auto first = (*generator)->generate(request);
    ASSERT_TRUE(first) << first.error().message;
    EXPECT_EQ(first->end.cached_prompt_tokens, 0U);
    EXPECT_GT(first->end.prompt_tokens, 300U);
    request.context = first->end.tokens;
    request.prompt = "and more";
  }
  const auto generator = Generator::open(options);
  ASSERT_TRUE(generator) << generator.error().message;
  const auto next = (*generator)->generate(request);
  ASSERT_TRUE(next) << next.error().message;
  EXPECT_GE(next->end.cached_prompt_tokens, 300U);
}

TEST_F(KeptKvEngineTest, AModelThatWasWrittenAgainIsAnother) {
  EngineOptions options = options_of(true, 120 * kMiB);
  options.model = folder_.write("model.gguf", zero_mamba().bytes());
  options.context = 512;
  const auto evaluated = [&](size_t letters) {
    const auto engine = Engine::open(options);
    EXPECT_TRUE(engine) << engine.error().message;
    GenerateOptions generate;
    generate.max_tokens = 1;
    EXPECT_TRUE((*(*engine)->new_session())->complete(std::string(letters, 'x'), generate));
    return (*engine)->stats().prompt_tokens;
  };
  EXPECT_GE(evaluated(300), 300U);
  EXPECT_LE(evaluated(340), 40U);
  std::filesystem::last_write_time(options.model,
                                   std::filesystem::file_time_type::clock::now() + std::chrono::hours(1));
  EXPECT_GE(evaluated(340), 340U);
}

TEST_F(KeptKvEngineTest, DamagedFilesAreComputedAnew) {
  const std::vector<ChatMessage> messages = conversation();
  Turn first;
  { first = ask(*open(true), messages); }
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder_.path())) {
    if (file.path().extension() == ".kv") {
      std::ofstream(file.path(), std::ios::binary | std::ios::in).seekp(2000).put('?');
    }
  }
  const auto engine = open(true);
  const Turn again = ask(*engine, messages);
  EXPECT_EQ(again.text, first.text);
  EXPECT_EQ(again.evaluated, first.evaluated);
  EXPECT_EQ(engine->stats().kv_restored_tokens, 0U);
}

TEST_F(KeptKvEngineTest, WhatIsNotAskedForIsNotKept) {
  ask(*open(false), conversation());
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "hypura" / "kv"));
}

TEST_F(KeptKvEngineTest, ABudgetThatIsTooSmallSaysSo) {
  const auto engine = open(true, 24 * kMiB);
  ASSERT_FALSE(engine->plan().warnings.empty());
  EXPECT_NE(engine->plan().warnings.back().find("not kept beyond the context"), std::string::npos)
      << engine->plan().warnings.back();
  EXPECT_EQ(engine->stats().kv_disk_entries, 0U);
}

}  // namespace
}  // namespace hypura
