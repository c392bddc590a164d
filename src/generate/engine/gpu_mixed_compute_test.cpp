// Mixed computing by the plan, as its user sees it: budgets, counters, logits, refusals. The GPUs are ggml's CPU
// device, and such as it computes for: they have the processors' kernels, so that logits are those of plain llama.cpp
// whoever computes what.

#include <gtest/gtest.h>

#include <cstring>

#include "backend/gpu/separate_gpu_for_test.h"
#include "generate/engine/reference_for_test.h"
#include "hypura/engine.h"
#include "hypura/plan.h"
#include "llama/models_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

class GpuMixedCompute : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(init_llama());
    SeparateGpu::add();
    SecondGpu::add();
  }

  static bool several() { return GetParam().find(',') != std::string::npos; }

  static EngineOptions options(const char* model = "hypura-stories-moe.gguf", bool mixed = true) {
    EngineOptions options;
    options.model = kModels / model;
    options.gpu = GetParam();
    options.vram = (several() ? 22 : 36) * kMiB;
    options.memory = 40 * kMiB;
    options.mixed_compute = mixed;
    options.context = 256;
    options.ubatch = options.outputs = 64;
    options.threads = 1;
    options.run_history = options.repack = false;
    return options;
  }

  static std::vector<std::vector<float>> logits_of(Engine& engine) {
    const auto session = engine.new_session();
    std::vector<std::vector<float>> all;
    for (const size_t length : {60, 1, 1, 7, 1, 2, 1}) {
      auto logits = (*session)->evaluate(test_tokens(length));
      EXPECT_TRUE(logits) << logits.error().message;
      all.push_back(logits ? std::move(*logits) : std::vector<float>());
    }
    return all;
  }

  static std::string refusal(const EngineOptions& options) {
    const auto planned = plan_model(options, nullptr);
    const auto opened = Engine::open(options);
    EXPECT_FALSE(planned);
    EXPECT_FALSE(opened);
    if (planned || opened) {
      return {};
    }
    EXPECT_EQ(opened.error().code, ErrorCode::kUsage);
    EXPECT_EQ(opened.error().message, planned.error().message);
    return opened.error().message;
  }
};

TEST_P(GpuMixedCompute, LogitsAreTheSameAndTheProcessorsCompute) {
  Reference reference(options().model, 256, 64, 1);
  std::vector<std::vector<float>> expected;
  for (const size_t length : {60, 1, 1, 7, 1, 2, 1}) {
    expected.push_back(reference.evaluate(test_tokens(length), expected.empty()));
  }
  uint64_t computed = 0;
  for (int run = 0; run < 2; ++run) {
    const auto engine = Engine::open(options());
    ASSERT_TRUE(engine) << engine.error().message;
    EXPECT_TRUE((*engine)->plan().device->mixed);
    EXPECT_EQ((*engine)->plan().device->shares.size(), several() ? 2U : 0U);
    EXPECT_GT((*engine)->plan().device->cpu_seconds, 0);
    EXPECT_EQ((*engine)->plan().device->uploaded_bytes_per_token, 0);
    const auto actual = logits_of(**engine);
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < actual.size(); ++i) {
      ASSERT_EQ(actual[i].size(), expected[i].size());
      EXPECT_EQ(std::memcmp(actual[i].data(), expected[i].data(), expected[i].size() * sizeof(float)), 0) << i;
    }
    const EngineStats stats = (*engine)->stats();
    EXPECT_GT(stats.cpu_experts, 0U);
    EXPECT_EQ(stats.cpu_experts, stats.gpu_expert_lookups - stats.gpu_expert_hits);
    EXPECT_GT(stats.gpu_expert_hits, 0U);
    EXPECT_TRUE(run == 0 || stats.cpu_experts == computed) << "two runs are the same";
    computed = stats.cpu_experts;
    uint64_t in_ram = 0;
    for (const LedgerLine& line : (*engine)->ledger()) {
      in_ram += line.tier == Tier::kRam ? line.bytes : 0;
    }
    EXPECT_LE(in_ram, 40 * kMiB + (*engine)->plan().process_overhead);
  }
  const auto without = Engine::open(options("hypura-stories-moe.gguf", false));
  ASSERT_TRUE(without) << without.error().message;
  logits_of(**without);
  EXPECT_EQ((*without)->stats().cpu_experts, 0U);
}

TEST_P(GpuMixedCompute, ThePlanSaysWhatItWouldBeTheOtherWay) {
  const auto with = plan_model(options(), nullptr);
  const auto without = plan_model(options("hypura-stories-moe.gguf", false), nullptr);
  ASSERT_TRUE(with && without);
  EXPECT_NE(with->why.find("the processors compute what is not on the GPU"), std::string::npos) << with->why;
  EXPECT_DOUBLE_EQ(with->mixed_other_way_tokens_per_second, without->prediction.tokens_per_second);
  EXPECT_DOUBLE_EQ(without->mixed_other_way_tokens_per_second, with->prediction.tokens_per_second);
  EngineOptions enough = options();
  enough.vram = 200 * kMiB;
  const auto all = plan_model(enough, nullptr);
  ASSERT_TRUE(all) << all.error().message;
  ASSERT_EQ(all->mode(), Mode::kResident);
  ASSERT_FALSE(all->warnings.empty());
  EXPECT_NE(all->warnings.back().find("changes nothing"), std::string::npos) << all->warnings.back();
}

TEST_P(GpuMixedCompute, IsRefusedByNameWhereNoGpuHasSlots) {
  EngineOptions none = options();
  none.gpu = "none";
  none.vram.reset();
  EXPECT_NE(refusal(none).find("--mixed-compute is for a GPU"), std::string::npos);
  EngineOptions dense = options("hypura-stories-draft.gguf");
  dense.vram = 8 * kMiB;
  EXPECT_NE(refusal(dense).find("has no experts"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Over, GpuMixedCompute,
                         testing::Values("CPU", SeparateGpu::kName,
                                         std::string(SeparateGpu::kName) + "," + SecondGpu::kName),
                         [](const auto& it) { return it.param.find(',') == std::string::npos ? it.param : "Two"; });

}  // namespace
}  // namespace hypura
