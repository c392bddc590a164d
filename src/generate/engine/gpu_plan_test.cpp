// A model that a GPU computes by its plan: inside both budgets, with the results of plain llama.cpp on the same device,
// at every division between the GPU's memory, RAM and the disk. ggml's CPU device stands for the GPU.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "generate/engine/reference_for_test.h"
#include "hypura/engine.h"
#include "hypura/plan.h"
#include "llama/models_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

constexpr uint32_t kContext = 512;
constexpr uint64_t kEnough = 80 * kMiB;

EngineOptions on_gpu(const char* model, uint64_t memory, uint64_t vram) {
  EngineOptions options;
  options.model = kModels / model;
  options.gpu = "CPU";
  options.vram = vram;
  options.memory = memory;
  options.context = kContext;
  options.outputs = 64;
  options.threads = 1;
  options.run_history = false;
  return options;
}

EngineOptions stories(uint64_t memory, uint64_t vram) {
  return on_gpu("hypura-stories-moe.gguf", memory, vram);
}

// The least of one memory with which the model opens, to 5 %.
uint64_t least(const std::function<EngineOptions(uint64_t)>& options) {
  uint64_t low = 0;
  uint64_t high = kEnough;
  while (high - low > high / 20) {
    const uint64_t middle = low + (high - low) / 2;
    (Engine::open(options(middle)) ? high : low) = middle;
  }
  return high;
}

uint64_t sum_on(const std::vector<LedgerLine>& ledger, Tier tier) {
  uint64_t bytes = 0;
  for (const LedgerLine& line : ledger) {
    bytes += line.tier == tier ? line.bytes : 0;
  }
  return bytes;
}

uint64_t bytes_of(const std::vector<LedgerLine>& ledger, Purpose purpose, Tier tier) {
  uint64_t bytes = 0;
  for (const LedgerLine& line : ledger) {
    bytes += line.tier == tier && line.purpose == purpose ? line.bytes : 0;
  }
  return bytes;
}

void expect_within_budgets(const Engine& engine, const EngineOptions& options) {
  const Plan& plan = engine.plan();
  ASSERT_TRUE(plan.device);
  const std::vector<LedgerLine> reserved = engine.ledger();
  EXPECT_LE(sum_on(reserved, Tier::kDevice), *options.vram);
  EXPECT_LE(sum_on(reserved, Tier::kRam), *options.memory + plan.process_overhead);
  EXPECT_LE(sum_on(plan.ledger, Tier::kDevice), *options.vram);
  EXPECT_LE(sum_on(plan.ledger, Tier::kRam), *options.memory);
  EXPECT_GT(bytes_of(reserved, Purpose::kKvCache, Tier::kDevice), 0U);
  EXPECT_EQ(bytes_of(reserved, Purpose::kKvCache, Tier::kRam), 0U) << "it lies on the device";
  for (const Purpose purpose : {Purpose::kExpertSlots, Purpose::kKvCache, Purpose::kComputeBuffers}) {
    for (const Tier tier : {Tier::kDevice, Tier::kRam}) {
      EXPECT_EQ(bytes_of(reserved, purpose, tier), bytes_of(plan.ledger, purpose, tier))
          << to_string(purpose) << ", " << to_string(tier);
    }
  }
}

void expect_same_logits(Engine& engine, Reference& reference, const std::string& where) {
  auto session = engine.new_session();
  ASSERT_TRUE(session) << session.error().message;
  bool fresh = true;
  for (const size_t length : {size_t{60}, size_t{1}, size_t{1}, size_t{7}, size_t{1}}) {
    const std::vector<int32_t> tokens = test_tokens(length);
    const auto actual = (*session)->evaluate(tokens);
    ASSERT_TRUE(actual) << where << ": " << actual.error().message;
    const std::vector<float> expected = reference.evaluate(tokens, std::exchange(fresh, false));
    ASSERT_EQ(actual->size(), expected.size());
    EXPECT_EQ(std::memcmp(actual->data(), expected.data(), expected.size() * sizeof(float)), 0)
        << where << ": logits differ after " << length << " tokens";
  }
}

TEST(GpuPlan, LogitsEqualThoseOfPlainLlamaInEveryBudget) {
  const uint64_t least_vram = least([](uint64_t vram) { return stories(kEnough, vram); });
  Reference reference(kModels / "hypura-stories-moe.gguf", kContext, 64, 1);
  bool whole = false;
  bool streamed = false;
  for (const uint64_t vram : {least_vram, 40 * kMiB, kEnough}) {
    const uint64_t least_memory = least([&](uint64_t memory) { return stories(memory, vram); });
    for (const uint64_t memory : {least_memory, kEnough}) {
      const EngineOptions options = stories(memory, vram);
      auto engine = Engine::open(options);
      ASSERT_TRUE(engine) << engine.error().message;
      const std::string where = fmt::format("{} of VRAM, {} of RAM", format_bytes(vram), format_bytes(memory));
      expect_within_budgets(**engine, options);
      ASSERT_NO_FATAL_FAILURE(expect_same_logits(**engine, reference, where));
      (streams_experts((*engine)->plan().mode()) ? streamed : whole) = true;
    }
  }
  EXPECT_TRUE(whole);
  EXPECT_TRUE(streamed);
}

TEST(GpuPlan, ADenseModelIsThereWholeWhereItFits) {
  const EngineOptions options = on_gpu("hypura-stories-draft.gguf", kEnough, kEnough);
  auto engine = Engine::open(options);
  ASSERT_TRUE(engine) << engine.error().message;
  expect_within_budgets(**engine, options);
  EXPECT_EQ((*engine)->plan().mode(), Mode::kResident);
  EXPECT_FALSE((*engine)->plan().device->layers);
  Reference reference(options.model, kContext, 64, 1);
  ASSERT_NO_FATAL_FAILURE(expect_same_logits(**engine, reference, "a dense model"));
}

TEST(GpuPlan, ThePlanIsWhatIsOpened) {
  const EngineOptions options = stories(64 * kMiB, 40 * kMiB);
  const auto plan = plan_model(options, nullptr);
  ASSERT_TRUE(plan) << plan.error().message;
  const auto engine = Engine::open(options);
  ASSERT_TRUE(engine) << engine.error().message;
  ASSERT_TRUE(plan->device);
  EXPECT_EQ(plan->device->name, "CPU");
  EXPECT_EQ(plan->mode(), (*engine)->plan().mode());
  EXPECT_EQ(plan->device->budget, 40 * kMiB);
  EXPECT_GT(plan->device->experts, 0U);
  ASSERT_TRUE(plan->device->hit_rate);
  EXPECT_GT(*plan->device->hit_rate, 0);
  EXPECT_LE(*plan->device->hit_rate + *plan->device->ram_hit_rate, 1 + 1e-9);
  EXPECT_GT(plan->prediction.tokens_per_second, 0);
  EXPECT_NE(plan->sentence.find("on CPU in 40.0 MiB"), std::string::npos) << plan->sentence;
  uint64_t on_device = 0;
  for (const PlacedTensor& tensor : plan->tensors) {
    on_device += static_cast<uint64_t>(tensor.device_share * static_cast<double>(tensor.bytes));
    EXPECT_LE(tensor.device_share + tensor.ram_share, 1 + 1e-9) << tensor.name;
  }
  EXPECT_LE(on_device, 40 * kMiB);
}

TEST(GpuPlan, TooLittleOfItsMemoryIsRefusedWithTheLeast) {
  const auto refused = Engine::open(stories(kEnough, kMiB));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBudget);
  EXPECT_NE(refused.error().message.find("1.0 MiB of its memory"), std::string::npos) << refused.error().message;
  const auto no_ram = Engine::open(stories(kMiB, 40 * kMiB));
  ASSERT_FALSE(no_ram);
  EXPECT_EQ(no_ram.error().code, ErrorCode::kBudget);
  EXPECT_NE(no_ram.error().message.find("RAM"), std::string::npos) << no_ram.error().message;
}

TEST(GpuPlan, WhatIsNoGpuIsRefusedByName) {
  const auto refusal = [](const std::string& gpu, std::optional<uint64_t> vram) {
    EngineOptions options = stories(kEnough, 0);
    options.gpu = gpu;
    options.vram = vram;
    const auto opened = Engine::open(options);
    EXPECT_FALSE(opened) << gpu;
    const auto planned = plan_model(options, nullptr);
    EXPECT_FALSE(planned) << gpu;
    EXPECT_EQ(opened.error().code, ErrorCode::kUsage) << opened.error().message;
    EXPECT_EQ(planned.error().message, opened.error().message);
    return opened.error().message;
  };
  EXPECT_NE(refusal("CUDA77", {}).find("CUDA77"), std::string::npos);
  EXPECT_NE(refusal("CPU,CUDA77", {}).find("CUDA77"), std::string::npos);
  EXPECT_NE(refusal("none", kGiB).find("--vram"), std::string::npos);
}

TEST(GpuPlan, WithoutAGpuNothingIsDifferent) {
  EngineOptions options = stories(40 * kMiB, 0);
  options.vram.reset();
  options.gpu = "none";
  const auto plan = plan_model(options, nullptr);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_FALSE(plan->device);
  EXPECT_FALSE(plan->placement.gpu);
  EXPECT_EQ(sum_on(plan->ledger, Tier::kDevice), 0U);
}

}  // namespace
}  // namespace hypura
