// Recorded routing: it is what the engine did, and a replay of it counts what the engine counted.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>

#include "generate/engine/reference_for_test.h"
#include "history/saved_routing.h"
#include "llama/models_for_test.h"
#include "make_model/make_model.h"
#include "residency/replay/replay.h"
#include "support/cache_folder.h"
#include "support/environment_for_test.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

const std::string kBeginning =
    "Once upon a time, there was a little rabbit who lived in a hole under a big tree. Every day she went out to look "
    "for carrots, and every evening she came home and told her mother what she had seen in the wide green fields.";

EngineOptions recording(const std::filesystem::path& model) {
  EngineOptions options;
  options.model = model;
  options.context = 512;
  options.threads = 1;
  options.ubatch = 32;
  options.record_routing = true;
  options.run_history = false;
  return options;
}

// Replays what `engine` recorded and holds it against the engine's own counters.
void expect_replay_agrees(const Engine& engine, const std::string& what) {
  const RoutingTrace trace = engine.routing();
  const EngineStats stats = engine.stats();
  EXPECT_EQ(trace.earlier, 0U);
  EXPECT_EQ(trace.tokens(), stats.prompt_tokens + stats.decoded_tokens);
  EXPECT_EQ(trace.decode_tokens(), stats.decoded_tokens);
  const ReplayResult recorded = recorded_result(trace);
  EXPECT_EQ(recorded.lookups, stats.expert_lookups) << what;
  EXPECT_EQ(recorded.hits, stats.expert_hits) << what;
  const ReplayResult replayed = replay(trace, Policy::kLive, trace.slots, trace.spare);
  EXPECT_EQ(replayed.lookups, stats.expert_lookups) << what;
  EXPECT_NEAR(replayed.hit_rate(), recorded.hit_rate(), 0.015) << what;
  EXPECT_GE(replay(trace, Policy::kBelady, trace.slots, trace.spare).hits, recorded.hits) << what;
  std::printf("%s, %u slots: live %.4f, replayed %.4f\n", what.c_str(), trace.slots, recorded.hit_rate(),
              replayed.hit_rate());
}

TEST(Routing, AReplayCountsWhatTheEngineCounted) {
  for (uint64_t memory : {17 * kMiB, 22 * kMiB, 30 * kMiB}) {
    EngineOptions options = recording(kStories);
    options.memory = memory;
    const auto engine = Engine::open(options);
    ASSERT_TRUE(engine) << engine.error().message;
    const auto session = (*engine)->new_session();
    ASSERT_TRUE((*session)->complete(kBeginning, greedy(70)));
    ASSERT_TRUE((*session)->chat({{"user", "Tell me a story about a fox named Rusty."}}, greedy(40)));
    expect_replay_agrees(**engine, "stories at " + format_bytes(memory));
  }
}

// Architectures whose expert blocks look different: biases and clamps, one tensor for gate and up, shared experts.
TEST(Routing, AReplayAgreesForOtherArchitectures) {
  const TempDir folder;
  for (const char* arch : {"mixtral", "qwen2moe", "gpt-oss", "fused"}) {
    ModelSpec spec;
    spec.arch = arch;
    spec.skew = 0.7;
    spec.type = "Q8_0";
    spec.layers = 4;  // two of each of the two kinds that gpt-oss has
    spec.output = folder.path() / (spec.arch + ".gguf");
    const auto path = make_model(spec);
    ASSERT_TRUE(path) << path.error().message;
    EngineOptions options = recording(*path);
    options.memory = smallest_budget(options, kGiB);
    options.memory = *options.memory + std::filesystem::file_size(*path) / 4;
    const auto engine = Engine::open(options);
    ASSERT_TRUE(engine) << engine.error().message;
    const auto session = (*engine)->new_session();
    ASSERT_TRUE((*session)->evaluate(test_tokens(40)));
    expect_replay_agrees(**engine, arch);
  }
}

TEST(Routing, IsRecordedEvenWhenAllWouldFit) {
  EngineOptions options = recording(kStories);
  options.memory = kGiB;
  const auto engine = Engine::open(options);
  ASSERT_TRUE(engine) << engine.error().message;
  EXPECT_EQ((*engine)->plan().mode(), Mode::kExpertStreaming);
  const auto session = (*engine)->new_session();
  ASSERT_TRUE((*session)->complete("Once upon a time", greedy(5)));
  const RoutingTrace trace = (*engine)->routing();
  EXPECT_EQ(trace.layers, 6U);
  EXPECT_EQ(trace.experts, 32U);
  EXPECT_EQ(trace.used, 4U);
  EXPECT_EQ(trace.decode_tokens(), 4U);
}

TEST(Routing, AModelWithoutExpertsHasNone) {
  EngineOptions options = recording(kStories.parent_path() / "hypura-stories-draft.gguf");
  const auto refused = Engine::open(options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUsage);
  EXPECT_NE(refused.error().message.find("no experts"), std::string::npos) << refused.error().message;
  options.record_routing = false;
  const auto engine = Engine::open(options);
  ASSERT_TRUE(engine);
  EXPECT_EQ((*engine)->routing().layers, 0U);
}

class SavedRouting : public testing::Test {
 protected:
  // Makes `tokens` tokens with an engine that remembers, and closes it.
  static void run(int32_t tokens) {
    EngineOptions options = recording(kStories);
    options.record_routing = false;
    options.run_history = true;
    options.memory = 22 * kMiB;
    const auto engine = Engine::open(options);
    ASSERT_TRUE(engine) << engine.error().message;
    const auto session = (*engine)->new_session();
    GenerateOptions generate = greedy(tokens);
    generate.sampling.temperature = 1;  // greedy stories end early
    generate.sampling.seed = 1;
    ASSERT_TRUE((*session)->complete(kBeginning, generate));
    decoded = (*engine)->stats().decoded_tokens;
    closed = (*engine)->close();
  }

  static inline uint64_t decoded = 0;
  static inline Status closed;
  TempDir folder_;
  EnvironmentVariable caches_{"XDG_CACHE_HOME", (folder_.path() / "caches").c_str()};
};

TEST_F(SavedRouting, IsThereInTheNextRun) {
  const Model model = open_model(kStories).value();
  EXPECT_FALSE(saved_routing(model));
  run(20);
  EXPECT_FALSE(saved_routing(model)) << "too few tokens to be worth it";
  run(90);
  const auto first = saved_routing(model);
  ASSERT_TRUE(first);
  ASSERT_GE(decoded, kFewestSavedTokens);
  EXPECT_EQ(first->decode_tokens(), decoded);
  EXPECT_GT(first->slots, 0U);
  run(90);
  const auto second = saved_routing(model);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->decode_tokens(), first->decode_tokens() + decoded);
  EXPECT_LE(second->tokens(), kMostSavedTokens);
}

TEST_F(SavedRouting, BelongsToOneModel) {
  const Model model = open_model(kStories).value();
  run(90);
  ASSERT_TRUE(saved_routing(model));
  const auto copy = folder_.path() / "copy.gguf";
  std::filesystem::copy_file(kStories, copy);
  EXPECT_TRUE(saved_routing(open_model(copy).value())) << "a copy is the same model";
  std::ofstream(copy, std::ios::app) << "x";
  EXPECT_FALSE(saved_routing(open_model(copy).value()));
  EXPECT_FALSE(saved_routing(open_model(kStories.parent_path() / "hypura-stories-draft.gguf").value()));
}

TEST_F(SavedRouting, ADamagedFileIsAsGoodAsNoneAndWrittenAnew) {
  const Model model = open_model(kStories).value();
  run(90);
  const auto file = *std::filesystem::directory_iterator(*cache_folder() / "routing");
  std::filesystem::resize_file(file.path(), 100);
  EXPECT_FALSE(saved_routing(model));
  run(90);
  EXPECT_TRUE(saved_routing(model));
}

TEST_F(SavedRouting, WithoutAFolderNothingIsSavedAndOnlyClosingFails) {
  const Model model = open_model(kStories).value();
  std::ofstream(folder_.path() / "caches") << "a file where the folder should be";
  run(90);
  EXPECT_EQ(closed.error().code, ErrorCode::kIo);
  EXPECT_FALSE(saved_routing(model));
  EXPECT_EQ(save_routing(model, RoutingTrace()).error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace hypura
