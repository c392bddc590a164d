// A model with slots on a GPU, as its owner sees it: counters that add up over the tiers, routing that is recorded as
// without a GPU, and a beginning with what earlier runs used. ggml's CPU device stands for the GPU.

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "backend/gpu/late_gpu_for_test.h"
#include "generate/engine/engine_impl.h"
#include "generate/engine/open_overridden.h"
#include "generate/engine/reference_for_test.h"
#include "llama/models_for_test.h"
#include "support/environment_for_test.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

constexpr uint64_t kExpertBytes = 3 * 72 * kKiB;  // of the stories model, 32 in each of 6 layers

class GpuEngine : public testing::Test {
 protected:
  static EngineOptions options() {
    EngineOptions options;
    options.model = kStories;
    options.memory = 26 * kMiB;
    options.context = 256;
    options.threads = 1;
    options.ubatch = 32;
    options.resident = false;
    options.repack = false;
    options.run_history = false;
    return options;
  }

  static std::unique_ptr<Engine> open(const EngineOptions& options, uint32_t slots) {
    PlanOverrides overrides;
    overrides.mode = Mode::kExpertStreaming;
    if (slots > 0) {
      overrides.gpu = {"CPU", slots};
    }
    auto engine = open_overridden(options, overrides);
    EXPECT_TRUE(engine) << engine.error().message;
    return engine ? std::move(*engine) : nullptr;
  }

  static std::vector<int32_t> tell(Engine& engine, int32_t tokens) {
    const auto session = engine.new_session();
    GenerateOptions generate = greedy(tokens);
    generate.sampling.temperature = 1;  // greedy stories end early
    generate.sampling.seed = 3;
    const auto told = (*session)->complete("Once upon a time, there was a little rabbit who lived in a hole", generate);
    EXPECT_TRUE(told) << told.error().message;
    return told ? told->tokens : std::vector<int32_t>();
  }

  TempDir folder_;
  EnvironmentVariable caches_{"XDG_CACHE_HOME", (folder_.path() / "caches").c_str()};
};

TEST_F(GpuEngine, CountersAddUpOverTheTiers) {
  const auto engine = open(options(), 8);
  ASSERT_NE(engine, nullptr);
  tell(*engine, 1);
  const EngineStats before = engine->stats();
  EXPECT_GT(before.gpu_staged_layers, 0U) << "the prompt";
  tell(*engine, 60);
  const EngineStats stats = engine->stats();
  EXPECT_EQ(stats.gpu_expert_lookups, stats.expert_lookups);
  EXPECT_EQ(stats.expert_lookups, stats.decoded_tokens * 6 * 4);
  EXPECT_GT(stats.gpu_expert_hits, 0U);
  EXPECT_LT(stats.gpu_expert_hits, stats.expert_hits) << "some were in RAM";
  EXPECT_LE(stats.expert_hits, stats.expert_lookups);
  EXPECT_GT(stats.gpu_seeded_experts, 0U);
  EXPECT_EQ(stats.gpu_upload_bytes % kExpertBytes, 0U);
  EXPECT_GE(stats.gpu_upload_bytes, (stats.gpu_expert_lookups - stats.gpu_expert_hits) * kExpertBytes);
  EXPECT_EQ(stats.gpu_download_bytes, stats.gpu_demoted_experts * kExpertBytes);
  EXPECT_GT(stats.gpu_choice_wait_seconds, 0.0);
  EXPECT_GT(stats.experts_predicted_correct, stats.experts_predicted / 5);
  EXPECT_LT(stats.experts_predicted_correct, stats.experts_predictable);
  EXPECT_EQ(stats.gpu_experts_copied_ahead, 0U) << "the processor cannot copy meanwhile";

  const auto without = open(options(), 0);
  ASSERT_NE(without, nullptr);
  tell(*without, 20);
  EXPECT_EQ(without->stats().gpu_expert_lookups + without->stats().gpu_upload_bytes, 0U);
  EXPECT_GT(without->stats().expert_lookups, 0U);
}

// Its last layer computes one row. Where RAM has room for all, what the prompt did not ask for there is read as well.
TEST_F(GpuEngine, APromptReadsAllOfItsLastLayerToo) {
  EngineOptions roomy = options();
  roomy.memory = 128 * kMiB;
  const auto engine = open(roomy, 8);
  ASSERT_NE(engine, nullptr);
  tell(*engine, 1);
  EXPECT_LT(engine->stats().streamed_bytes, 2 * 6 * 32 * kExpertBytes) << "nothing is read twice";
  tell(*engine, 1);  // reads go on as passes do
  EXPECT_GE(engine->stats().streamed_bytes, 6 * 32 * kExpertBytes);
  EXPECT_GT(engine->stats().experts_read_ahead, 0U);
}

TEST_F(GpuEngine, RecordsWhatAModelWithoutAGpuRecords) {
  EngineOptions recording = options();
  recording.record_routing = true;
  const auto without = open(recording, 0);
  ASSERT_NE(without, nullptr);
  const std::vector<int32_t> tokens = tell(*without, 20);
  const RoutingTrace expected = without->routing();
  for (const uint32_t slots : {8U, 32U}) {  // with 32 no choice is looked at otherwise
    const auto engine = open(recording, slots);
    ASSERT_NE(engine, nullptr);
    EXPECT_EQ(tell(*engine, 20), tokens);
    const RoutingTrace trace = engine->routing();
    EXPECT_EQ(trace.tokens(), expected.tokens());
    EXPECT_EQ(trace.decode_tokens(), expected.decode_tokens());
    EXPECT_EQ(trace.chosen, expected.chosen) << slots << " slots";
  }
}

TEST_F(GpuEngine, BeginsWithWhatEarlierRunsUsed) {
  EngineOptions remembering = options();
  remembering.run_history = true;
  const auto first = open(remembering, 8);
  ASSERT_NE(first, nullptr);
  tell(*first, 120);
  EXPECT_GT(first->routing().decode_tokens(), 60U);
  ASSERT_TRUE(first->close());
  const auto engine = open(remembering, 8);
  ASSERT_NE(engine, nullptr);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (engine->stats().gpu_upload_bytes < 6 * 8 * kExpertBytes && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  const EngineStats warm = engine->stats();
  EXPECT_EQ(warm.gpu_upload_bytes, 6 * 8 * kExpertBytes) << "every slot has got one";
  EXPECT_GE(warm.experts_warmed, 6U * 8U);
  EXPECT_EQ(warm.expert_lookups, 0U);
  EXPECT_FALSE(tell(*engine, 10).empty());
}

// All of it lies there, so that a pass is handed over as a whole and ends when somebody waits for it: that somebody is
// the pass, or its time would be nobody's.
TEST_F(GpuEngine, PassesOfADeviceThatComputesByItselfTakeTheirTime) {
  ASSERT_TRUE(init_llama());
  LateGpu::get().add();
  EngineOptions its = options();
  its.gpu = "LateGpu";
  its.memory = 200 * kMiB;
  its.vram = 200 * kMiB;
  its.resident = true;
  auto engine = open_engine(its, {});
  ASSERT_TRUE(engine) << engine.error().message;
  ASSERT_EQ((*engine)->plan().mode(), Mode::kResident) << (*engine)->plan().sentence;
  ASSERT_TRUE((*engine)->plan().device);
  Batch batch(2);
  batch.add(5, 0, 0, false);
  batch.add(6, 1, 0, true);
  LateGpu::get().set_idle(true);
  EXPECT_TRUE((*engine)->pass(batch, 2));
  EXPECT_EQ(LateGpu::get().pending(), 0);
  LateGpu::get().set_idle(false);
  engine->reset();
  LateGpu::get().remove();
}

}  // namespace
}  // namespace hypura
