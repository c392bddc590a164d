// Beginning with the experts that earlier runs used most: it changes when bytes arrive, and nothing else.

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>

#include "generate/engine/open_overridden.h"
#include "generate/engine/reference_for_test.h"
#include "history/saved_routing.h"
#include "llama/models_for_test.h"
#include "support/environment_for_test.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

class WarmStart : public testing::Test {
 protected:
  static EngineOptions options(uint64_t memory) {
    EngineOptions options;
    options.model = kStories;
    options.memory = memory;
    options.context = 256;
    options.threads = 1;
    options.ubatch = 32;
    options.outputs = 32;
    options.resident = false;
    options.repack = false;
    return options;
  }

  // Leaves something to be remembered.
  static void run_once() {
    const auto engine = Engine::open(options(24 * kMiB));
    ASSERT_TRUE(engine) << engine.error().message;
    const auto session = (*engine)->new_session();
    GenerateOptions generate = greedy(120);
    generate.sampling.temperature = 1;  // greedy stories end early
    generate.sampling.seed = 1;
    ASSERT_TRUE((*session)->complete("Once upon a time, there was a little rabbit", generate));
    ASSERT_TRUE((*engine)->close());
  }

  // Waits until nothing more is read.
  static EngineStats after_warm_start(const Engine& engine) {
    EngineStats stats = engine.stats();
    for (int quiet = 0, turns = 0; quiet < 20 && turns < 3000; ++turns) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      const EngineStats now = engine.stats();
      quiet = now.warm_bytes > 0 && now.streamed_bytes == stats.streamed_bytes ? quiet + 1 : 0;
      stats = now;
    }
    return stats;
  }

  TempDir folder_;
  EnvironmentVariable caches_{"XDG_CACHE_HOME", (folder_.path() / "caches").c_str()};
};

TEST_F(WarmStart, ReadsWhatWasUsedBeforeAnythingIsAsked) {
  run_once();
  const auto engine = Engine::open(options(24 * kMiB));
  ASSERT_TRUE(engine) << engine.error().message;
  const EngineStats warm = after_warm_start(**engine);
  EXPECT_GT(warm.experts_warmed, 10U);
  EXPECT_EQ(warm.warm_bytes, warm.experts_warmed * 3 * 72 * kKiB);
  EXPECT_GE(warm.streamed_bytes, warm.warm_bytes);
  EXPECT_LE(warm.streamed_bytes, warm.experts_warmed * 3 * 76 * kKiB);  // a block at most for each slice
  const auto session = (*engine)->new_session();
  ASSERT_TRUE((*session)->complete("Once", greedy(3)));
  const EngineStats after = (*engine)->stats();
  EXPECT_EQ(after.experts_warmed, warm.experts_warmed) << "nothing is warmed once something is asked";

  PlanOverrides cold;
  cold.warm_start = false;
  const auto other = open_overridden(options(24 * kMiB), cold);
  ASSERT_TRUE(other);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ((*other)->stats().streamed_bytes, 0U);
  const auto same = (*other)->new_session();
  ASSERT_TRUE((*same)->complete("Once", greedy(3)));
  EXPECT_GT(after.expert_hits, (*other)->stats().expert_hits);
  EXPECT_LT(after.prefill_bytes, (*other)->stats().prefill_bytes);
}

// At budgets from the smallest to nearly everything, whether it was given time, some, or none.
TEST_F(WarmStart, ChangesNoLogit) {
  run_once();
  const std::vector<int32_t> tokens = test_tokens(40);
  Reference reference(kStories, 256, 32, 1);
  const std::vector<float> expected = reference.evaluate(tokens, true);
  for (const uint64_t memory : {15 * kMiB, 17 * kMiB, 24 * kMiB, 40 * kMiB}) {
    for (const int wait : {0, 1, 3, 200}) {
      const auto engine = Engine::open(options(memory));
      ASSERT_TRUE(engine) << engine.error().message;
      const auto session = (*engine)->new_session();
      std::this_thread::sleep_for(std::chrono::milliseconds(wait));
      const auto actual = (*session)->evaluate(tokens);
      ASSERT_TRUE(actual) << actual.error().message;
      ASSERT_EQ(actual->size(), expected.size());
      EXPECT_EQ(std::memcmp(actual->data(), expected.data(), expected.size() * sizeof(float)), 0)
          << format_bytes(memory) << ", asked after " << wait << " ms";
    }
  }
}

TEST_F(WarmStart, AModelMayBeClosedWhileItIsRead) {
  run_once();
  for (int i = 0; i < 20; ++i) {
    const auto engine = Engine::open(options(40 * kMiB));
    ASSERT_TRUE(engine) << engine.error().message;
    std::this_thread::sleep_for(std::chrono::microseconds(300 * i));
  }
}

TEST_F(WarmStart, IsForThoseWhoRemember) {
  run_once();
  EngineOptions forgetful = options(24 * kMiB);
  forgetful.run_history = false;
  EngineOptions resident = options(kGiB);
  resident.resident = true;
  for (const EngineOptions& each : {forgetful, resident}) {
    const auto engine = Engine::open(each);
    ASSERT_TRUE(engine) << engine.error().message;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_EQ((*engine)->stats().experts_warmed, 0U) << to_string((*engine)->plan().mode());
  }
}

// A read that fails is left to whoever asks for the expert.
TEST_F(WarmStart, AFileThatIsCutIsNotedWhenItIsAskedFor) {
  const auto copy = folder_.path() / "copy.gguf";
  std::filesystem::copy_file(kStories, copy);
  run_once();
  EngineOptions cut = options(24 * kMiB);
  cut.model = copy;
  {
    const auto engine = Engine::open(cut);
    ASSERT_TRUE(engine) << engine.error().message;
    std::filesystem::resize_file(copy, 16 * kMiB);
    const auto session = (*engine)->new_session();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const auto told = (*session)->complete("The old clock was broken into many pieces", greedy(30));
    ASSERT_FALSE(told);
    EXPECT_EQ(told.error().code, ErrorCode::kIo);
  }
}

// A trace that is recorded says that the cache was not empty when it began.
TEST_F(WarmStart, IsSaidInWhatIsRecorded) {
  run_once();
  const auto saved = saved_routing(open_model(kStories).value());
  ASSERT_TRUE(saved);
  const auto engine = Engine::open(options(24 * kMiB));
  ASSERT_TRUE(engine);
  EXPECT_EQ((*engine)->routing().earlier, saved->tokens());
}

}  // namespace
}  // namespace hypura
