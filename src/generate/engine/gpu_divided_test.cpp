// A dense model that a GPU has no room for: the plan gives it as many of the last layers as pay, in its budget, and the
// logits are those of plain llama.cpp with that --n-gpu-layers. The GPU is ggml's CPU device, and one with memory of
// its own for which the processors compute.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <utility>

#include "backend/gpu/separate_gpu_for_test.h"
#include "generate/engine/model_cases_for_test.h"
#include "generate/engine/reference_for_test.h"
#include "hypura/engine.h"
#include "hypura/plan.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

constexpr uint32_t kDividedTokens = 512;  // of a context
constexpr uint32_t kDividedPass = 64;

uint64_t sum_in(const std::vector<LedgerLine>& ledger, Tier tier) {
  uint64_t bytes = 0;
  for (const LedgerLine& line : ledger) {
    bytes += line.tier == tier ? line.bytes : 0;
  }
  return bytes;
}

class GpuDivided : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(init_llama());
    SeparateGpu::add();
    path_ = model_file({"dense", "", divided_spec()}, folder_.path());
    ASSERT_FALSE(path_.empty());
  }

  EngineOptions options(uint64_t memory, uint64_t vram) const {
    return gpu_options(path_, GetParam(), memory, vram, kDividedTokens, kDividedPass);
  }

  // That all of it takes of the GPU's memory.
  uint64_t whole() const {
    const auto plan = plan_model(options(kGiB, kGiB), nullptr);
    EXPECT_TRUE(plan && plan->device && !plan->device->layers);
    return plan ? sum_in(plan->ledger, Tier::kDevice) : 0;
  }

  // The least of RAM with which the GPU computes some layers in so much of its memory, to 5 %.
  uint64_t least_memory(uint64_t vram) const {
    uint64_t low = 0;
    uint64_t high = 256 * kMiB;
    while (high - low > high / 20) {
      const uint64_t middle = low + (high - low) / 2;
      const auto engine = Engine::open(options(middle, vram));
      (engine && (*engine)->plan().device ? high : low) = middle;
    }
    return high;
  }

  void expect_logits(Engine& engine, uint32_t layers) const {
    Reference reference(path_, kDividedTokens, kDividedPass, 1, 1, false, {GetParam(), layers, true});
    auto session = engine.new_session();
    ASSERT_TRUE(session) << session.error().message;
    bool fresh = true;
    for (const size_t length : {size_t{60}, size_t{1}, size_t{1}, size_t{7}, size_t{1}}) {
      const auto actual = (*session)->evaluate(test_tokens(length));
      ASSERT_TRUE(actual) << actual.error().message;
      const std::vector<float> expected = reference.evaluate(test_tokens(length), std::exchange(fresh, false));
      ASSERT_EQ(actual->size(), expected.size());
      EXPECT_EQ(std::memcmp(actual->data(), expected.data(), expected.size() * sizeof(float)), 0)
          << layers << " layers: logits differ after " << length << " tokens";
    }
  }

  TempDir folder_;
  std::filesystem::path path_;
};

// In the least RAM, where as many layers are there as fit.
TEST_P(GpuDivided, ItGetsMoreLayersInMoreMemory) {
  const uint64_t all = whole();
  std::vector<uint32_t> counts;
  for (const uint64_t percent : {45, 65, 85}) {
    const uint64_t vram = all * percent / 100;
    const EngineOptions its = options(least_memory(vram), vram);
    auto engine = Engine::open(its);
    ASSERT_TRUE(engine) << percent << ": " << engine.error().message;
    const Plan& plan = (*engine)->plan();
    ASSERT_TRUE(plan.device) << percent << ": " << plan.why;
    ASSERT_TRUE(plan.device->layers) << plan.sentence;
    const uint32_t layers = *plan.device->layers;
    counts.push_back(layers);
    EXPECT_NE(plan.sentence.find(fmt::format("{} of 8 layers and the output on {}", layers, GetParam())),
              std::string::npos)
        << plan.sentence;
    for (const auto& ledger : {plan.ledger, (*engine)->ledger()}) {
      EXPECT_LE(sum_in(ledger, Tier::kDevice), *its.vram);
      EXPECT_GT(sum_in(ledger, Tier::kDevice), 0U);
      EXPECT_LE(sum_in(ledger, Tier::kRam), *its.memory + plan.process_overhead);
    }
    EXPECT_EQ(sum_in((*engine)->ledger(), Tier::kDevice), sum_in(plan.ledger, Tier::kDevice));
    ASSERT_NO_FATAL_FAILURE(expect_logits(**engine, layers + 1));
  }
  EXPECT_LT(counts[0], counts[1]);
  EXPECT_LT(counts[1], counts[2]);
  EXPECT_LT(counts[2], 9U);
}

TEST_P(GpuDivided, ThePlanIsWhatIsOpened) {
  const EngineOptions its = options(kGiB, whole() * 6 / 10);
  const auto plan = plan_model(its, nullptr);
  ASSERT_TRUE(plan) << plan.error().message;
  const auto engine = Engine::open(its);
  ASSERT_TRUE(engine) << engine.error().message;
  ASSERT_TRUE(plan->device && (*engine)->plan().device);
  EXPECT_EQ(plan->device->layers, (*engine)->plan().device->layers);
  EXPECT_EQ(plan->mode(), (*engine)->plan().mode());
  uint64_t there = 0;
  for (const PlacedTensor& tensor : plan->tensors) {
    there += tensor.tier == Tier::kDevice ? tensor.bytes : 0;
    EXPECT_EQ(tensor.device_share, tensor.tier == Tier::kDevice ? 1 : 0) << tensor.name;
  }
  EXPECT_GT(there, 0U);
  EXPECT_LE(there, plan->device->weights);
  EXPECT_GE(plan->more_vram_tokens_per_second, plan->prediction.tokens_per_second);
  EXPECT_NE(plan->why.find("of a token, the processors"), std::string::npos) << plan->why;
}

TEST_P(GpuDivided, WhereNoLayerFitsTheProcessorsComputeAndItIsSaid) {
  const EngineOptions its = options(kGiB, 64 * kKiB);
  const auto engine = Engine::open(its);
  ASSERT_TRUE(engine) << engine.error().message;
  const Plan& plan = (*engine)->plan();
  EXPECT_FALSE(plan.device);
  EXPECT_EQ(sum_in((*engine)->ledger(), Tier::kDevice), 0U);
  EXPECT_NE(plan.why.find(GetParam() + " computes nothing"), std::string::npos) << plan.why;
  EXPECT_NE(plan.why.find("not even the smallest part"), std::string::npos) << plan.why;
}

// What says to have more memory than it gives.
TEST_P(GpuDivided, WhereTheDeviceHasLessThanItSaysItGetsFewerLayers) {
  if (GetParam() != SeparateGpu::kName) {
    GTEST_SKIP() << "the processors refuse no buffers";
  }
  const EngineOptions its = options(kGiB, whole() * 85 / 100);
  const auto plan = plan_model(its, nullptr);
  ASSERT_TRUE(plan && plan->device && plan->device->layers);
  SeparateGpu::get().set_largest_buffer(plan->device->weights * 8 / 10);
  const auto fewer = Engine::open(its);
  SeparateGpu::get().set_largest_buffer(kMiB);
  const auto none = Engine::open(its);
  SeparateGpu::get().set_largest_buffer(SIZE_MAX);
  ASSERT_TRUE(fewer) << fewer.error().message;
  ASSERT_TRUE((*fewer)->plan().device) << (*fewer)->plan().why;
  EXPECT_LT((*fewer)->plan().device->layers, plan->device->layers);
  ASSERT_NO_FATAL_FAILURE(expect_logits(**fewer, *(*fewer)->plan().device->layers + 1));
  ASSERT_TRUE(none) << none.error().message;
  EXPECT_FALSE((*none)->plan().device);
  EXPECT_NE((*none)->plan().why.find("did not hold what llama.cpp wanted"), std::string::npos) << (*none)->plan().why;
}

INSTANTIATE_TEST_SUITE_P(Devices, GpuDivided, testing::Values("CPU", SeparateGpu::kName));

}  // namespace
}  // namespace hypura
