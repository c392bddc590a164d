// The engine end to end on the demo model, streamed: small enough for the sanitizer runs.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "generate/engine/open_overridden.h"
#include "generate/engine/reference_for_test.h"
#include "llama/models_for_test.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

EngineOptions streamed_demo(uint64_t memory) {
  EngineOptions options;
  options.model = kModels / "hypura-stories-moe.gguf";
  options.memory = memory;
  options.context = 256;
  options.threads = 1;
  options.ubatch = 32;
  options.outputs = 32;
  options.run_history = false;
  return options;
}

std::unique_ptr<Engine> open(const EngineOptions& options, const PlanOverrides& overrides = {}) {
  auto engine = open_overridden(options, overrides);
  EXPECT_TRUE(engine) << engine.error().message;
  return engine ? std::move(*engine) : nullptr;
}

TEST(Streaming, TellsTheSameStoryAtEveryBudget) {
  std::string first;
  for (uint64_t memory : {16 * kMiB, 24 * kMiB, 40 * kMiB, 80 * kMiB}) {
    EngineOptions options = streamed_demo(memory);
    options.resident = false;
    const auto engine = open(options);
    ASSERT_NE(engine, nullptr);
    const auto session = engine->new_session();
    ASSERT_TRUE(session);
    const auto told = (*session)->complete("Once upon a time, there was a little rabbit", greedy(24));
    ASSERT_TRUE(told) << told.error().message;
    EXPECT_EQ(told->tokens.size(), 24U);
    first = first.empty() ? told->text : first;
    EXPECT_EQ(told->text, first) << engine->plan().sentence;
  }
  EXPECT_NE(first.find("He lived"), std::string::npos) << first;
}

// What is read ahead enters the cache only when it is asked for: predictions change when bytes arrive, and nothing
// else.
TEST(Streaming, ReadingAheadChangesNeitherTextNorHits) {
  std::string text;
  EngineStats without;
  for (const ReadAhead read_ahead : {ReadAhead::kNone, ReadAhead::kRouter, ReadAhead::kCoactivation}) {
    PlanOverrides overrides;
    overrides.read_ahead = read_ahead;
    overrides.mode = Mode::kExpertStreaming;
    const auto engine = open(streamed_demo(24 * kMiB), overrides);
    ASSERT_NE(engine, nullptr);
    const auto session = engine->new_session();
    const auto told = (*session)->complete("Once upon a time, there was a little rabbit", greedy(60));
    ASSERT_TRUE(told) << told.error().message;
    const EngineStats stats = engine->stats();
    if (text.empty()) {
      text = told->text;
      without = stats;
      EXPECT_EQ(stats.experts_read_ahead, 0U);
      EXPECT_EQ(stats.experts_predicted, 0U);
      continue;
    }
    EXPECT_EQ(told->text, text) << to_string(read_ahead);
    EXPECT_EQ(stats.expert_lookups, without.expert_lookups) << to_string(read_ahead);
    // Only what is mostly right is read, but for the first tokens, from which that is learned; co-activation seldom is.
    const bool reads = read_ahead == ReadAhead::kRouter;
    EXPECT_GT(stats.experts_read_ahead, reads ? 20U : 0U);
    EXPECT_GT(stats.experts_used_ahead, reads ? stats.experts_read_ahead / 2 : 0);
    EXPECT_LE(stats.experts_used_ahead, std::min(stats.experts_read_ahead, stats.expert_lookups - stats.expert_hits));
    // Of the model's 32 experts a token uses 4: by chance one prediction of eight is correct.
    EXPECT_GT(stats.experts_predicted_correct, stats.experts_predicted / 5) << to_string(read_ahead);
    EXPECT_GE(stats.experts_predicted, stats.experts_read_ahead) << to_string(read_ahead);
    EXPECT_GE(stats.experts_predicted_correct, stats.experts_used_ahead) << to_string(read_ahead);
    EXPECT_LT(stats.experts_predicted_correct, stats.experts_predictable) << to_string(read_ahead);
    EXPECT_LT(stats.experts_predictable, stats.expert_lookups) << "nothing is predicted for the first layer";
  }
}

// A prompt's passes read all experts of a layer ahead, and what the prompt does not choose is kept for later.
TEST(Streaming, WithRoomForAllAPromptLeavesThemThere) {
  PlanOverrides overrides;
  overrides.mode = Mode::kExpertStreaming;
  const auto engine = open(streamed_demo(80 * kMiB), overrides);
  ASSERT_NE(engine, nullptr);
  const auto session = engine->new_session();
  ASSERT_TRUE((*session)->complete(
      "Once upon a time there was a little rabbit who liked to run and play in the big forest with many friends, and "
      "one day",
      greedy(200)));
  const EngineStats stats = engine->stats();
  EXPECT_EQ(stats.experts_predicted, 0U);
  EXPECT_LE(stats.expert_lookups - stats.expert_hits, 20U) << "of one layer's 32";
  EXPECT_LE(stats.streamed_bytes, 6U * 32U * 3U * 76U * kKiB) << "none is read twice";
}

TEST(Streaming, LogitsEqualThoseOfPlainLlama) {
  const std::vector<int32_t> tokens = test_tokens(40);
  Reference reference(kModels / "hypura-stories-moe.gguf", 256, 32, 1);
  const std::vector<float> expected = reference.evaluate(tokens, true);
  EngineOptions options = streamed_demo(20 * kMiB);
  options.repack = false;  // as the reference
  const auto engine = open(options);
  ASSERT_NE(engine, nullptr);
  const auto session = engine->new_session();
  const auto actual = (*session)->evaluate(tokens);
  ASSERT_TRUE(actual);
  ASSERT_EQ(actual->size(), expected.size());
  EXPECT_EQ(std::memcmp(actual->data(), expected.data(), expected.size() * sizeof(float)), 0);
}

TEST(Streaming, ChoosesTheModeFromTheBudget) {
  EngineOptions dense = streamed_demo(8 * kMiB);
  dense.model = kModels / "hypura-stories-draft.gguf";
  const std::pair<EngineOptions, Mode> cases[] = {{streamed_demo(kGiB), Mode::kResident},
                                                  {streamed_demo(24 * kMiB), Mode::kExpertStreaming},
                                                  {streamed_demo(14 * kMiB), Mode::kMixedStreaming},
                                                  {dense, Mode::kDenseStreaming}};
  for (const auto& [options, mode] : cases) {
    const auto engine = open(options);
    ASSERT_NE(engine, nullptr);
    EXPECT_EQ(engine->plan().mode(), mode);
  }
}

TEST(Streaming, ASmallContextIsKeptAndPromptsArePassedInParts) {
  EngineOptions options = streamed_demo(30 * kMiB);
  options.context = 48;
  options.ubatch = 0;
  const auto engine = open(options);
  const auto session = engine->new_session();
  EXPECT_EQ((*session)->context_size(), 48U);
  const auto told = (*session)->complete("Once upon a time, there was a little rabbit", greedy(-1));
  ASSERT_TRUE(told) << told.error().message;
  EXPECT_EQ((*session)->context_used(), 48U);
  EXPECT_EQ(told->stop, StopReason::kContextFull);
}

TEST(Streaming, ABudgetThatCannotWorkNamesOneThatCan) {
  const auto engine = Engine::open(streamed_demo(2 * kMiB));
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code, ErrorCode::kBudget);
  EXPECT_NE(engine.error().message.find("smallest"), std::string::npos) << engine.error().message;
}

TEST(Streaming, TheLedgerStaysUnderTheBudget) {
  for (uint64_t memory : {14 * kMiB, 24 * kMiB, 44 * kMiB}) {
    const auto engine = open(streamed_demo(memory));
    uint64_t sum = 0;
    for (const LedgerLine& line : engine->plan().ledger) {
      sum += line.bytes;
    }
    EXPECT_LE(sum, memory);
    EXPECT_GE(sum, memory * 9 / 10) << "memory left lying";
  }
}

TEST(Streaming, CountsWhatItDid) {
  const auto engine = open(streamed_demo(24 * kMiB));
  const auto session = engine->new_session();
  ASSERT_TRUE((*session)->complete("Once upon a time", greedy(10)));
  const EngineStats stats = engine->stats();
  EXPECT_EQ(stats.decoded_tokens, 9U);  // the tenth token needs no pass after it
  EXPECT_GT(stats.prompt_tokens, 0U);
  EXPECT_EQ(stats.expert_lookups, 9U * 6U * 4U);
  EXPECT_LT(stats.expert_hits, stats.expert_lookups);
  EXPECT_GT(stats.decode_bytes, 0U);
  EXPECT_EQ(stats.prefill_bytes + stats.decode_bytes, stats.streamed_bytes);
  // What was read in decode is what was missed, in whole experts of three slices of 72 KiB, plus a block at most each;
  // and what was predicted wrongly, unless it was cancelled before it was read.
  const uint64_t missed = stats.expert_lookups - stats.expert_hits;
  const uint64_t wrong = stats.experts_read_ahead - stats.experts_used_ahead;
  EXPECT_GE(stats.decode_bytes, missed * 3 * 72 * kKiB);
  EXPECT_LE(stats.decode_bytes, (missed + wrong) * 3 * 76 * kKiB);
}

TEST(Streaming, ATruncatedFileEndsTheRunWithAnError) {
  const TempDir folder;
  EngineOptions options = streamed_demo(20 * kMiB);
  options.model = folder.path() / "cut.gguf";
  std::filesystem::copy_file(kModels / "hypura-stories-moe.gguf", options.model);
  const auto engine = open(options);
  const auto session = engine->new_session();
  ASSERT_TRUE((*session)->complete("Once upon a time", greedy(2)));
  std::filesystem::resize_file(options.model, 20 * kMiB);
  for (int attempt = 0; attempt < 2; ++attempt) {
    (*session)->clear();
    const auto told = (*session)->complete("The old clock was broken into many pieces", greedy(30));
    ASSERT_FALSE(told);
    EXPECT_EQ(told.error().code, ErrorCode::kIo);
    EXPECT_NE(told.error().message.find("cut.gguf"), std::string::npos) << told.error().message;
    EXPECT_NE(told.error().message.find("layer"), std::string::npos) << told.error().message;
  }
}

TEST(Streaming, ADenseModelWhoseFileIsCutEndsWithAnErrorToo) {
  const TempDir folder;
  EngineOptions options = streamed_demo(8 * kMiB);
  options.model = folder.path() / "cut.gguf";
  std::filesystem::copy_file(kModels / "hypura-stories-draft.gguf", options.model);
  const auto engine = open(options);
  ASSERT_EQ(engine->plan().mode(), Mode::kDenseStreaming);
  const auto session = engine->new_session();
  std::filesystem::resize_file(options.model, 3 * kMiB);
  const auto told = (*session)->complete("The old clock was broken into many pieces", greedy(30));
  ASSERT_FALSE(told);
  EXPECT_EQ(told.error().code, ErrorCode::kIo);
  EXPECT_NE(told.error().message.find("blk."), std::string::npos) << told.error().message;
}

// Nothing of the failed pass is left: neither in the ring nor in what was gathered to be computed.
TEST(Streaming, ADenseModelGoesOnWhenItsFileIsWholeAgain) {
  const TempDir folder;
  EngineOptions options = streamed_demo(8 * kMiB);
  options.model = folder.path() / "cut.gguf";
  const auto whole = kModels / "hypura-stories-draft.gguf";
  std::filesystem::copy_file(whole, options.model);
  const auto engine = open(options);
  const auto session = engine->new_session();
  const auto expected = (*session)->evaluate(test_tokens(40));
  ASSERT_TRUE(expected) << expected.error().message;
  for (const uint64_t cut : {2 * kMiB, 3 * kMiB, 4 * kMiB}) {
    std::filesystem::resize_file(options.model, cut);
    (*session)->clear();
    const auto failed = (*session)->evaluate(test_tokens(40));
    ASSERT_FALSE(failed) << "cut at " << cut;
    EXPECT_EQ(failed.error().code, ErrorCode::kIo);
    std::filesystem::copy_file(whole, options.model, std::filesystem::copy_options::overwrite_existing);
    (*session)->clear();
    const auto again = (*session)->evaluate(test_tokens(40));
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(*again, *expected);
  }
}

TEST(Streaming, AFileCutBeforeLoadingIsABadModel) {
  const TempDir folder;
  EngineOptions options = streamed_demo(20 * kMiB);
  options.model = folder.path() / "cut.gguf";
  std::filesystem::copy_file(kModels / "hypura-stories-moe.gguf", options.model);
  std::filesystem::resize_file(options.model, 20 * kMiB);
  const auto engine = Engine::open(options);
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code, ErrorCode::kBadModel);
}

}  // namespace
}  // namespace hypura
