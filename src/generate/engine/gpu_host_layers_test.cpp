// A model with experts whose other weights a GPU has no room for: the processors compute the first layers, with experts
// from RAM's slots, and the GPU the others, with slots of its own over those. The logits are those of plain llama.cpp
// with that --n-gpu-layers. Two devices with memory of their own, for which the processors compute, stand for GPUs.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "backend/gpu/separate_gpu_for_test.h"
#include "generate/engine/model_cases_for_test.h"
#include "generate/engine/reference_for_test.h"
#include "hypura/engine.h"
#include "hypura/plan.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

constexpr uint32_t kHostContext = 512;
constexpr uint32_t kHostPass = 64;
constexpr uint64_t kHostPlenty = 96 * kMiB;
constexpr uint32_t kHostLayers = 8;  // of the model
constexpr uint32_t kHostExperts = 8;
constexpr uint32_t kHostUsed = 2;

class GpuHostLayersTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(init_llama());
    SeparateGpu::add();
    SecondGpu::add();
    ASSERT_NO_FATAL_FAILURE(make_model("moe", 512, 256));  // so wide that weights count for more than buffers
  }

  void make_model(const std::string& name, uint32_t embedding, uint32_t expert_ff) {
    ModelSpec spec = small_spec("qwen3moe", "Q4_0");
    spec.layers = kHostLayers;
    spec.embedding = embedding;
    spec.heads = spec.kv_heads = 8;
    spec.experts = kHostExperts;
    spec.experts_used = kHostUsed;
    spec.expert_ff = expert_ff;
    path_ = model_file({name, "", spec}, folder_.path());
    ASSERT_FALSE(path_.empty());
  }

  EngineOptions options(uint64_t memory, uint64_t vram, const std::string& gpu = SeparateGpu::kName) const {
    return gpu_options(path_, gpu, memory, vram, kHostContext, kHostPass);
  }

  // The least, to 2 %, for which a plan is as wanted.
  static uint64_t least(const std::function<EngineOptions(uint64_t)>& with,
                        const std::function<bool(const Plan&)>& wanted) {
    uint64_t low = 0;
    uint64_t high = kHostPlenty;
    while (high - low > high / 50) {
      const uint64_t middle = low + (high - low) / 2;
      const auto plan = plan_model(with(middle), nullptr);
      (plan && wanted(*plan) ? high : low) = middle;
    }
    return high;
  }

  // Of the GPU's memory, with which it computes all layers.
  uint64_t least_for_all() const {
    return least([&](uint64_t vram) { return options(kHostPlenty, vram); },
                 [](const Plan& plan) { return plan.device && !plan.device->layers; });
  }

  static uint64_t bytes_of(const std::vector<LedgerLine>& ledger, Tier tier, std::optional<Purpose> purpose = {}) {
    uint64_t bytes = 0;
    for (const LedgerLine& line : ledger) {
      bytes += line.tier == tier && (!purpose || line.purpose == *purpose) ? line.bytes : 0;
    }
    return bytes;
  }

  static void expect_within_budgets(const Engine& engine, const EngineOptions& its) {
    const Plan& plan = engine.plan();
    for (const auto& ledger : {plan.ledger, engine.ledger()}) {
      EXPECT_LE(bytes_of(ledger, Tier::kDevice), *its.vram * std::max<size_t>(1, plan.device->shares.size()));
      EXPECT_LE(bytes_of(ledger, Tier::kRam), *its.memory + plan.process_overhead);
    }
    for (const Purpose purpose :
         {Purpose::kKvCache, Purpose::kExpertSlots, Purpose::kExpertBuffers, Purpose::kComputeBuffers}) {
      for (const Tier tier : {Tier::kDevice, Tier::kRam}) {
        EXPECT_GT(bytes_of(plan.ledger, tier, purpose), 0U) << "both sides have some of it";
        EXPECT_EQ(bytes_of(engine.ledger(), tier, purpose), bytes_of(plan.ledger, tier, purpose))
            << to_string(purpose) << ", " << to_string(tier);
      }
    }
  }

  // The processors' layers have predictions, besides the GPU's.
  static void expect_read_ahead(Engine& engine, const std::string& where) {
    const GpuPlacement& gpu = *engine.plan().placement.gpu;
    ASSERT_GT(gpu.host_layers, 1U) << where;
    const auto partly = static_cast<uint64_t>(
        std::ranges::count_if(gpu.layer_slots, [](uint32_t slots) { return slots > 0 && slots < kHostExperts; }));
    auto session = engine.new_session();
    ASSERT_TRUE((*session)->evaluate(test_tokens(20)));
    const EngineStats before = engine.stats();
    for (const int32_t token : test_tokens(8)) {
      ASSERT_TRUE((*session)->evaluate({token}));
    }
    const EngineStats stats = engine.stats().since(before);
    const uint64_t of_gpu = 8 * (partly - 1) * kHostUsed;  // at most: nothing is predicted for its first layer
    EXPECT_GT(stats.experts_predictable, of_gpu) << where;
    EXPECT_GT(stats.experts_read_ahead, 0U) << where;
  }

  // Prompts in several passes, of more and of fewer tokens than a GPU takes from the processors, and single tokens.
  static void expect_logits(Engine& engine, Reference& reference, const std::string& where) {
    expect_logits_of(reference, engine, 150, where);
  }

  TempDir folder_;
  std::filesystem::path path_;
};

TEST_F(GpuHostLayersTest, LogitsEqualThoseOfPlainLlamaInEveryBudget) {
  const uint64_t all = least_for_all();
  uint32_t last = kHostLayers;
  for (const uint64_t percent : {85, 60}) {
    const uint64_t vram = all * percent / 100;
    const uint64_t least_memory = least([&](uint64_t memory) { return options(memory, vram); },
                                        [](const Plan& plan) { return plan.device.has_value(); });
    for (const uint64_t memory : {kHostPlenty, least_memory * 11 / 10}) {
      const std::string where = fmt::format("{} of VRAM, {} of RAM", format_bytes(vram), format_bytes(memory));
      const EngineOptions its = options(memory, vram);
      auto engine = Engine::open(its);
      ASSERT_TRUE(engine) << where << ": " << engine.error().message;
      const Plan& plan = (*engine)->plan();
      ASSERT_TRUE(plan.device && plan.device->layers) << where << ": " << plan.sentence << plan.why;
      EXPECT_EQ(plan.mode(), plan.placement.dense.streamed ? Mode::kMixedStreaming : Mode::kExpertStreaming);
      const uint32_t layers = *plan.device->layers;
      EXPECT_LT(layers, memory == kHostPlenty ? last : kHostLayers) << "the processors' layers take RAM";
      last = memory == kHostPlenty ? layers : last;
      EXPECT_EQ(plan.placement.gpu->host_layers, kHostLayers - layers);
      expect_within_budgets(**engine, its);
      Reference reference(path_, kHostContext, kHostPass, 1, 1, false, {SeparateGpu::kName, layers + 1, true});
      ASSERT_NO_FATAL_FAILURE(expect_logits(**engine, reference, where));
      if (memory != kHostPlenty) {
        ASSERT_NO_FATAL_FAILURE(expect_read_ahead(**engine, where));
      }
    }
  }
}

// Large passes have these products on the GPU all the same, which gets the weights from the ring.
TEST_F(GpuHostLayersTest, DenseWeightsOfTheProcessorsAreStreamedWhereRamIsShort) {
  ASSERT_NO_FATAL_FAILURE(make_model("wide", 1024, 128));  // dense weights are most of it
  const uint64_t vram = least_for_all() * 60 / 100;
  const auto with = [&](uint64_t memory) { return options(memory, vram); };
  const uint64_t least_memory = least(with, [](const Plan& plan) { return plan.device.has_value(); });
  const uint64_t whole = least(with, [](const Plan& plan) { return plan.device && !plan.placement.dense.streamed; });
  ASSERT_LT(least_memory, whole);
  for (const uint64_t percent : {5, 20, 35}) {
    const EngineOptions its = with(least_memory + (whole - least_memory) * percent / 100);
    const std::string where = format_bytes(*its.memory);
    auto engine = Engine::open(its);
    ASSERT_TRUE(engine) << where << ": " << engine.error().message;
    const Plan& plan = (*engine)->plan();
    ASSERT_TRUE(plan.device && plan.device->layers) << where << ": " << plan.sentence << plan.why;
    const DensePlacement& dense = plan.placement.dense;
    ASSERT_GT(dense.streamed_bytes, 0U) << where << ": " << plan.sentence;
    EXPECT_EQ(plan.mode(), Mode::kMixedStreaming);
    EXPECT_GE(plan.prediction.bytes_per_token, static_cast<double>(dense.streamed_bytes));
    EXPECT_NE(plan.sentence.find("streamed for every token through a ring of"), std::string::npos) << plan.sentence;
    expect_within_budgets(**engine, its);
    for (const Purpose purpose : {Purpose::kPinnedWeights, Purpose::kRing}) {
      EXPECT_EQ(bytes_of((*engine)->ledger(), Tier::kRam, purpose), bytes_of(plan.ledger, Tier::kRam, purpose));
      EXPECT_EQ(bytes_of(plan.ledger, Tier::kDevice, purpose), 0U);
    }
    EXPECT_EQ(bytes_of(plan.ledger, Tier::kRam, Purpose::kRing), dense.ring_bytes);
    const uint32_t host = plan.placement.gpu->host_layers;
    for (const PlacedTensor& tensor : plan.tensors) {
      EXPECT_TRUE(tensor.way != Way::kRing || (tensor.layer >= 0 && tensor.layer < static_cast<int>(host)))
          << tensor.name;
    }
    Reference reference(path_, kHostContext, kHostPass, 1, 1, false,
                        {SeparateGpu::kName, kHostLayers - host + 1, true});
    ASSERT_NO_FATAL_FAILURE(expect_logits(**engine, reference, where));

    auto session = (*engine)->new_session();
    const int64_t before = SeparateGpu::get().large_products();
    ASSERT_TRUE((*session)->evaluate(test_tokens(kHostPass)));
    constexpr int64_t kMostOfGpuLayer = 8;  // attention's four, the router, three of experts
    EXPECT_GT(SeparateGpu::get().large_products() - before, (kHostLayers - host) * kMostOfGpuLayer + 3 * host)
        << "the processors' layers have theirs on the GPU too: " << where;
    const uint64_t read = (*engine)->stats().streamed_bytes;
    ASSERT_TRUE((*session)->evaluate({1}));
    EXPECT_GT((*engine)->stats().streamed_bytes, read);
  }
}

TEST_F(GpuHostLayersTest, ThePlanIsWhatIsOpenedAndSaysIt) {
  const EngineOptions its = options(kHostPlenty, least_for_all() * 7 / 10);
  const auto plan = plan_model(its, nullptr);
  ASSERT_TRUE(plan) << plan.error().message;
  ASSERT_TRUE(plan->device && plan->device->layers) << plan->sentence;
  const uint32_t host = kHostLayers - *plan->device->layers;
  const std::string words =
      fmt::format("{} of 8 on the processors; ", host == 1 ? "layer 0" : fmt::format("layers 0 to {}", host - 1));
  EXPECT_NE(plan->sentence.find(words), std::string::npos) << plan->sentence;
  EXPECT_GT(plan->device->cpu_seconds, 0);
  for (const PlacedTensor& tensor : plan->tensors) {
    const bool dense = tensor.way == Way::kPinned && tensor.layer >= 0;
    EXPECT_TRUE(!dense || (tensor.tier == Tier::kDevice) == (tensor.layer >= static_cast<int>(host))) << tensor.name;
  }
  const auto engine = Engine::open(its);
  ASSERT_TRUE(engine) << engine.error().message;
  EXPECT_EQ((*engine)->plan().placement.gpu->host_layers, host);
}

// What is looked up in RAM is what the GPU lacks and what the processors compute with.
TEST_F(GpuHostLayersTest, CountersAreOfBoth) {
  const EngineOptions its = options(kHostPlenty, least_for_all() * 7 / 10);
  const auto engine = Engine::open(its);
  ASSERT_TRUE(engine) << engine.error().message;
  ASSERT_TRUE((*engine)->plan().placement.gpu);
  const GpuPlacement& gpu = *(*engine)->plan().placement.gpu;
  // One that has a slot for every expert looks up none.
  const auto partly = static_cast<uint64_t>(
      std::ranges::count_if(gpu.layer_slots, [](uint32_t slots) { return slots > 0 && slots < kHostExperts; }));
  EXPECT_GT(gpu.host_layers, 0U);
  EXPECT_GT(partly, 0U);
  auto session = (*engine)->new_session();
  ASSERT_TRUE((*session)->evaluate(test_tokens(20)));
  const EngineStats before = (*engine)->stats();
  for (const int32_t token : test_tokens(6)) {
    ASSERT_TRUE((*session)->evaluate({token}));
  }
  const EngineStats stats = (*engine)->stats().since(before);
  EXPECT_EQ(stats.expert_lookups, 6 * (gpu.host_layers + partly) * kHostUsed);
  EXPECT_EQ(stats.gpu_expert_lookups, 6 * partly * kHostUsed);
  EXPECT_LE(stats.expert_hits, stats.expert_lookups);
}

TEST_F(GpuHostLayersTest, SeveralGpusShareTheOthers) {
  const std::string both = fmt::format("{},{}", SeparateGpu::kName, SecondGpu::kName);
  const uint64_t all = least([&](uint64_t vram) { return options(kHostPlenty, vram, both); },
                             [](const Plan& plan) { return plan.device && !plan.device->layers; });
  auto engine = Engine::open(options(kHostPlenty, all * 8 / 10, both));
  ASSERT_TRUE(engine) << engine.error().message;
  const Plan& plan = (*engine)->plan();
  ASSERT_TRUE(plan.device && plan.device->layers) << plan.sentence;
  ASSERT_EQ(plan.device->shares.size(), 2U);
  EXPECT_EQ(plan.device->shares[0].first_layer, plan.placement.gpu->host_layers);
  Reference reference(
      path_, kHostContext, kHostPass, 1, 1, false,
      {SeparateGpu::kName, *plan.device->layers + 1, true, {SecondGpu::kName}, plan.placement.gpu->device_layers});
  ASSERT_NO_FATAL_FAILURE(expect_logits(**engine, reference, "two GPUs"));
}

}  // namespace
}  // namespace hypura
