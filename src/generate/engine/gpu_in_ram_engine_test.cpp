// A model that a GPU computes in the machine's memory: one budget, whose slots are the GPU's, and the logits of plain
// llama.cpp on the same device. Over a test device that computes as late as it may; not over Metal.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "backend/gpu/late_gpu_for_test.h"
#include "generate/engine/reference_for_test.h"
#include "hypura/devices.h"
#include "hypura/engine.h"
#include "hypura/plan.h"
#include "llama/models_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

constexpr uint32_t kInRamContext = 512;

class GpuInRamEngine : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(init_llama());
    LateGpu::in_ram().add();
  }
  void TearDown() override {
    LateGpu::in_ram().remove();
    LateGpu::get().remove();
  }

  static EngineOptions options(uint64_t memory) {
    EngineOptions options;
    options.model = kModels / "hypura-stories-moe.gguf";
    options.gpu = "InRamGpu";
    options.memory = memory;
    options.context = kInRamContext;
    options.ubatch = options.outputs = 64;
    options.threads = 1;
    options.run_history = false;
    return options;
  }

  static uint64_t sum(const std::vector<LedgerLine>& ledger, std::optional<Tier> tier = {},
                      std::optional<Purpose> purpose = {}) {
    uint64_t bytes = 0;
    for (const LedgerLine& line : ledger) {
      bytes += (tier && line.tier != *tier) || (purpose && line.purpose != *purpose) ? 0 : line.bytes;
    }
    return bytes;
  }
};

TEST_F(GpuInRamEngine, OneBudgetHasTheSlotsOfBoth) {
  Reference reference(kModels / "hypura-stories-moe.gguf", kInRamContext, 64, 1, 1, false, {"InRamGpu", 1000});
  bool whole = false;
  bool streamed = false;
  for (const uint64_t memory : {42 * kMiB, 50 * kMiB, 120 * kMiB}) {
    const auto engine = Engine::open(options(memory));
    ASSERT_TRUE(engine) << engine.error().message;
    const Plan& plan = (*engine)->plan();
    ASSERT_TRUE(plan.device);
    EXPECT_EQ(plan.device->name, "InRamGpu");
    EXPECT_LE(sum(plan.ledger), memory);
    EXPECT_LE(sum((*engine)->ledger()), memory + plan.process_overhead);
    EXPECT_EQ(sum((*engine)->ledger(), Tier::kRam, Purpose::kExpertSlots), 0U);
    EXPECT_EQ(plan.device->uploaded_bytes_per_token, 0);
    const bool streams = streams_experts(plan.mode());
    (streams ? streamed : whole) = true;
    const auto session = (*engine)->new_session();
    ASSERT_TRUE(session) << session.error().message;
    bool fresh = true;
    for (const size_t length : {size_t{60}, size_t{1}, size_t{1}, size_t{7}, size_t{1}}) {
      const std::vector<int32_t> tokens = test_tokens(length);
      const auto actual = (*session)->evaluate(tokens);
      ASSERT_TRUE(actual) << actual.error().message;
      const std::vector<float> expected = reference.evaluate(tokens, std::exchange(fresh, false));
      ASSERT_EQ(actual->size(), expected.size());
      EXPECT_EQ(std::memcmp(actual->data(), expected.data(), expected.size() * sizeof(float)), 0)
          << "logits differ after " << length << " tokens in " << format_bytes(memory);
    }
    const EngineStats stats = (*engine)->stats();
    EXPECT_EQ(stats.gpu_upload_bytes + stats.gpu_download_bytes, 0U);
    EXPECT_EQ(stats.gpu_expert_lookups > 0, streams);
    EXPECT_EQ(stats.expert_hits, stats.gpu_expert_hits);
    if (streams) {
      EXPECT_GT(stats.streamed_bytes, 0U);
      EXPECT_THAT(plan.sentence, testing::HasSubstr("which are RAM's"));
    }
  }
  EXPECT_TRUE(whole);
  EXPECT_TRUE(streamed);
}

TEST_F(GpuInRamEngine, ItIsUsedByDefaultUnlessTheProcessorsAreFaster) {
  const auto device = find_gpu("InRamGpu");
  ASSERT_TRUE(device) << device.error().message;
  EXPECT_TRUE(device->integrated);
  EXPECT_TRUE(device->computes_in_ram);
  EXPECT_THAT(gpus_by_default({*device}), testing::SizeIs(1));
  if (gpus_by_default(gpu_devices()).size() > 1) {
    GTEST_SKIP() << "there is a GPU with memory of its own, which comes first";
  }
  EngineOptions automatic = options(30 * kMiB);
  automatic.gpu = "auto";
  automatic.memory = 600 * kMiB;  // room for a driver
  const auto plan = plan_model(automatic, nullptr);
  ASSERT_TRUE(plan) << plan.error().message;
  ASSERT_TRUE(plan->device) << plan->sentence;
  EXPECT_EQ(plan->device->name, "InRamGpu");
  automatic.vram = 35 * kMiB;  // for slots of some experts: layers are cut
  LateGpu::in_ram().set_wait(std::chrono::milliseconds(3));
  const auto cut = plan_model(automatic, nullptr);
  LateGpu::in_ram().set_wait({});
  ASSERT_TRUE(cut) << cut.error().message;
  ASSERT_FALSE(cut->device) << cut->sentence;
  EXPECT_THAT(cut->why, testing::AllOf(testing::HasSubstr("the processors are faster"),
                                       testing::HasSubstr("us for its router's choice, measured now")));
  automatic.vram = 5 * kGiB;
  automatic.gpu = "InRamGpu";
  const auto lowered = plan_model(automatic, nullptr);
  ASSERT_TRUE(lowered) << lowered.error().message;
  EXPECT_THAT(lowered->warnings, testing::Contains(testing::HasSubstr("of InRamGpu's memory 2.0 GiB may be used now")))
      << "of 4 GiB that it works with at once";
}

// Of one with memory of its own, which copies meanwhile: routers and norms are found in llama.cpp's graphs.
TEST_F(GpuInRamEngine, ExpertsComeAheadToADeviceWithMemoryOfItsOwn) {
  LateGpu::get().add();
  EngineOptions its = options(200 * kMiB);
  its.gpu = "LateGpu";
  its.vram = 40 * kMiB;
  const auto engine = Engine::open(its);
  ASSERT_TRUE(engine) << engine.error().message;
  ASSERT_TRUE(streams_experts((*engine)->plan().mode())) << (*engine)->plan().sentence;
  Reference reference(its.model, kInRamContext, 64, 1, 1, false, {"LateGpu", 1000});
  const auto session = (*engine)->new_session();
  ASSERT_TRUE(session) << session.error().message;
  const std::vector<int32_t> all = test_tokens(60);
  for (size_t i = 0; i < 12; ++i) {
    const std::vector<int32_t> tokens = i == 0 ? all : std::vector<int32_t>{all[5 * i]};
    const auto actual = (*session)->evaluate(tokens);
    ASSERT_TRUE(actual) << actual.error().message;
    const std::vector<float> expected = reference.evaluate(tokens, i == 0);
    ASSERT_EQ(std::memcmp(actual->data(), expected.data(), expected.size() * sizeof(float)), 0) << "pass " << i;
  }
  const EngineStats stats = (*engine)->stats();
  EXPECT_GT(stats.gpu_experts_copied_ahead, 0U);
  EXPECT_GT(stats.gpu_experts_used_ahead, 0U);
  EXPECT_LE(stats.gpu_experts_used_ahead, stats.gpu_experts_copied_ahead);
  EXPECT_GT(stats.experts_predicted_correct, stats.experts_predicted / 5);
}

}  // namespace
}  // namespace hypura
