// Several GPUs compute a model together, each some of its layers: inside the budget of each, with the logits of plain
// llama.cpp. Two devices with memory of their own, for which the processors compute, stand for the GPUs.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "backend/gpu/separate_gpu_for_test.h"
#include "generate/engine/engine_impl.h"
#include "generate/engine/model_cases_for_test.h"
#include "generate/engine/open_overridden.h"
#include "generate/engine/reference_for_test.h"
#include "generate/scheduler/llama_pass_model.h"
#include "hypura/plan.h"
#include "llama/models_for_test.h"
#include "plan/budget_choice.h"
#include "support/environment_for_test.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

constexpr uint32_t kSharedContext = 512;
constexpr uint64_t kPlenty = 96 * kMiB;
constexpr uint64_t kStoriesExpert = 3 * 72 * kKiB;  // of the stories model, 32 in each of 6 layers

class GpuSeveral : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(init_llama());
    SeparateGpu::add();
    SecondGpu::add();
  }

  static EngineOptions options(const char* model, uint64_t memory, uint64_t vram) {
    EngineOptions options;
    options.model = kModels / model;
    options.gpu = fmt::format("{},{}", SeparateGpu::kName, SecondGpu::kName);
    options.vram = vram;
    options.memory = memory;
    options.context = kSharedContext;
    options.ubatch = options.outputs = 64;
    options.threads = 1;
    options.repack = false;
    options.run_history = false;
    return options;
  }

  static EngineOptions stories(uint64_t memory, uint64_t vram) {
    return options("hypura-stories-moe.gguf", memory, vram);
  }

  // The layers follow each other, and each device stays within its budget.
  static void expect_shared(const Engine& engine, uint32_t layers) {
    const Plan& plan = engine.plan();
    ASSERT_TRUE(plan.device) << plan.why;
    ASSERT_EQ(plan.device->shares.size(), 2U) << plan.sentence;
    uint32_t next = 0;
    uint64_t bytes = 0;
    for (const DeviceShare& share : plan.device->shares) {
      EXPECT_EQ(share.first_layer, next);
      EXPECT_LE(share.bytes, share.budget);
      EXPECT_GT(share.bytes, 0U);
      next += share.layers;
      bytes += share.bytes;
    }
    EXPECT_EQ(next, layers);
    uint64_t planned = 0;
    for (const LedgerLine& line : plan.ledger) {
      planned += line.tier == Tier::kDevice ? line.bytes : 0;
    }
    EXPECT_EQ(bytes, planned) << "the ledger has what all devices have";
  }

  static void expect_logits(Engine& engine, Reference& reference, const std::string& where) {
    expect_logits_of(reference, engine, 60, where);
  }

  TempDir folder_;
  EnvironmentVariable caches_{"XDG_CACHE_HOME", (folder_.path() / "caches").c_str()};
};

TEST_F(GpuSeveral, LogitsEqualThoseOfPlainLlamaInEveryBudget) {
  Reference reference(kStories, kSharedContext, 64, 1);
  bool whole = false;
  bool streamed = false;
  for (const uint64_t vram : {16 * kMiB, 24 * kMiB, 48 * kMiB}) {
    for (const uint64_t memory : {24 * kMiB, kPlenty}) {
      const std::string where = fmt::format("{} of VRAM each, {} of RAM", format_bytes(vram), format_bytes(memory));
      auto engine = Engine::open(stories(memory, vram));
      ASSERT_TRUE(engine) << where << ": " << engine.error().message;
      ASSERT_NO_FATAL_FAILURE(expect_shared(**engine, 6));
      ASSERT_NO_FATAL_FAILURE(expect_logits(**engine, reference, where));
      (streams_experts((*engine)->plan().mode()) ? streamed : whole) = true;
    }
  }
  EXPECT_TRUE(whole);
  EXPECT_TRUE(streamed);
}

// Prompts in several passes of 512 tokens, and in one of up to 4096: logits of some tokens of each pass.
TEST_F(GpuSeveral, LongPromptsAreThoseOfPlainLlama) {
  constexpr uint32_t kLongContext = 4096;
  constexpr uint32_t kLongOutputs = 8;  // of a pass
  struct LongPrompt {
    uint32_t pass = 0;
    uint32_t tokens = 0;
  };
  const std::filesystem::path path = model_file({"moe", "", small_spec("qwen3moe", "Q4_0")}, folder_.path());
  ASSERT_FALSE(path.empty());
  for (const LongPrompt& prompt : {LongPrompt{512, 1100}, LongPrompt{4096, 1800}}) {
    EngineOptions its = options("", 2 * kPlenty, 2 * kPlenty);
    its.model = path;
    its.context = kLongContext;
    its.ubatch = prompt.pass;
    its.outputs = kLongOutputs;
    PlanOverrides overrides;
    overrides.mode = Mode::kExpertStreaming;
    overrides.gpu = {its.gpu, 4};
    auto engine = open_engine(its, overrides);
    ASSERT_TRUE(engine) << engine.error().message;
    ASSERT_EQ((*engine)->plan().device->shares.size(), 2U);
    ASSERT_EQ((*engine)->plan().placement.ubatch, prompt.pass);
    LlamaPassModel model(**engine, 1);
    Reference reference(path, kLongContext, prompt.pass, 1);
    const auto vocabulary = static_cast<size_t>((*engine)->vocabulary().size());
    const std::vector<int32_t> tokens = test_tokens(prompt.tokens);
    for (uint32_t begin = 0; begin < prompt.tokens; begin += prompt.pass) {
      const uint32_t end = std::min(begin + prompt.pass, prompt.tokens);
      std::vector<PassToken> pass;
      for (uint32_t i = begin; i < end; ++i) {
        pass.push_back({tokens[i], i, 0, (end - 1 - i) % (prompt.pass / kLongOutputs) == 0});
      }
      const Status status = model.pass(pass, static_cast<uint32_t>(pass.size()));
      ASSERT_TRUE(status) << begin << " of " << prompt.tokens << ": " << status.error().message;
      ASSERT_TRUE(reference.decode(pass));
      for (size_t i = 0; i < pass.size(); ++i) {
        EXPECT_TRUE(!pass[i].output ||
                    std::memcmp(model.logits(i), llama_get_logits_ith(reference.context(), static_cast<int32_t>(i)),
                                vocabulary * sizeof(float)) == 0)
            << "token " << begin + i << " in passes of " << prompt.pass;
      }
    }
    EXPECT_GT((*engine)->stats().gpu_staged_layers, 0U) << "layers of which all experts are needed";
  }
}

TEST_F(GpuSeveral, ADenseModelLiesOnBothWhereItFits) {
  const EngineOptions its = options("hypura-stories-draft.gguf", kPlenty, 16 * kMiB);
  auto engine = Engine::open(its);
  ASSERT_TRUE(engine) << engine.error().message;
  EXPECT_EQ((*engine)->plan().mode(), Mode::kResident);
  ASSERT_NO_FATAL_FAILURE(expect_shared(**engine, static_cast<uint32_t>((*engine)->plan().layers.size())));
  Reference reference(its.model, kSharedContext, 64, 1);
  ASSERT_NO_FATAL_FAILURE(expect_logits(**engine, reference, "a dense model"));
}

// Of a model with more layers, that both together have no room for: by --gpu, and by auto.
class GpuSeveralDivided : public GpuSeveral {
 protected:
  void SetUp() override {
    GpuSeveral::SetUp();
    path_ = model_file({"dense", "", divided_spec()}, folder_.path());
    ASSERT_FALSE(path_.empty());
  }

  EngineOptions dense(uint64_t memory, uint64_t vram) const {
    EngineOptions its = options("", memory, vram);
    its.model = path_;
    return its;
  }

  // Layers of each, which both have.
  static std::vector<uint32_t> layers_of(const Plan& plan) {
    std::vector<uint32_t> layers;
    for (const DeviceShare& share : plan.device ? plan.device->shares : std::vector<DeviceShare>()) {
      layers.push_back(share.layers);
      EXPECT_LE(share.bytes, share.budget);
    }
    if (!layers.empty()) {
      ++layers.back();  // the output
    }
    return layers;
  }

  void expect_plain_logits(Engine& engine, const std::string& where) const {
    const std::vector<uint32_t> layers = layers_of(engine.plan());
    ASSERT_EQ(layers.size(), 2U) << where << ": " << engine.plan().sentence;
    Reference reference(path_, kSharedContext, 64, 1, 1, false,
                        {SeparateGpu::kName, layers[0] + layers[1], true, {SecondGpu::kName}, layers});
    ASSERT_NO_FATAL_FAILURE(expect_logits(engine, reference, where));
  }

  std::filesystem::path path_;
};

TEST_F(GpuSeveralDivided, WhatFitsOnNeitherIsTheProcessors) {
  const auto both = plan_model(dense(kPlenty, 64 * kMiB), nullptr);
  ASSERT_TRUE(both) << both.error().message;
  EXPECT_EQ(both->placement.gpu->device_layers.size(), 2U) << "all of it fits";
  for (const uint64_t vram : {8 * kMiB, 10 * kMiB}) {
    const int64_t before = SecondGpu::get().single_products();
    const EngineOptions its = dense(kPlenty, vram);
    const auto plan = plan_model(its, nullptr);
    ASSERT_TRUE(plan) << plan.error().message;
    auto engine = Engine::open(its);
    ASSERT_TRUE(engine) << engine.error().message;
    EXPECT_EQ(layers_of(*plan), layers_of((*engine)->plan()));
    ASSERT_NO_FATAL_FAILURE(expect_plain_logits(**engine, format_bytes(vram)));
    EXPECT_GT(SecondGpu::get().single_products(), before);
    uint64_t there = 0;
    for (const LedgerLine& line : (*engine)->ledger()) {
      there += line.tier == Tier::kDevice ? line.bytes : 0;
    }
    EXPECT_LE(there, 2 * vram);
    EXPECT_GT(there, vram) << "more than one may use";
  }
}

// The processors' layers are streamed.
TEST_F(GpuSeveralDivided, TheRestNeedNotFitIntoRam) {
  uint64_t memory = kPlenty;
  const auto is_streamed = [&] {
    const auto plan = plan_model(dense(memory, 8 * kMiB), nullptr);
    return !plan || plan->mode() == Mode::kDenseStreaming;
  };
  while (!is_streamed()) {
    memory -= kMiB;
  }
  auto engine = Engine::open(dense(memory, 8 * kMiB));
  ASSERT_TRUE(engine) << engine.error().message;
  EXPECT_EQ((*engine)->plan().mode(), Mode::kDenseStreaming);
  ASSERT_NO_FATAL_FAILURE(expect_plain_logits(**engine, "streamed"));
}

// What says to have more memory than it gives.
TEST_F(GpuSeveralDivided, WhereOneHasLessThanItSaysBothGetFewer) {
  const EngineOptions its = dense(kPlenty, 9 * kMiB);
  const auto plan = plan_model(its, nullptr);
  ASSERT_TRUE(plan) << plan.error().message;
  const std::vector<uint32_t> planned = layers_of(*plan);
  ASSERT_EQ(planned.size(), 2U);
  SecondGpu::get().set_largest_buffer(plan->device->weights * planned[1] / (planned[0] + planned[1]) * 8 / 10);
  auto engine = Engine::open(its);
  SecondGpu::get().set_largest_buffer(SIZE_MAX);
  ASSERT_TRUE(engine) << engine.error().message;
  const std::vector<uint32_t> fewer = layers_of((*engine)->plan());
  ASSERT_EQ(fewer.size(), 2U) << (*engine)->plan().why;
  EXPECT_LT(fewer[1], planned[1]);
  ASSERT_NO_FATAL_FAILURE(expect_plain_logits(**engine, "in less memory"));
}

TEST_F(GpuSeveral, ThePlanIsWhatIsOpened) {
  const EngineOptions its = stories(kPlenty, 24 * kMiB);
  const auto plan = plan_model(its, nullptr);
  ASSERT_TRUE(plan) << plan.error().message;
  const auto engine = Engine::open(its);
  ASSERT_TRUE(engine) << engine.error().message;
  EXPECT_EQ(plan->mode(), (*engine)->plan().mode());
  ASSERT_TRUE(plan->device && plan->placement.gpu);
  EXPECT_EQ(plan->device->name, "TestGpu and TestGpu1");
  EXPECT_EQ(plan->device->budget, 48 * kMiB);
  EXPECT_EQ(plan->placement.gpu->device_layers, (*engine)->plan().placement.gpu->device_layers);
  EXPECT_NE(plan->sentence.find("and the output on TestGpu1"), std::string::npos) << plan->sentence;
}

TEST_F(GpuSeveral, AutoTakesAsManyAsHelp) {
  const auto allowed = choose_budget({});
  if (!allowed || allowed->bytes < 9 * kGiB) {
    GTEST_SKIP() << "the drivers of two GPUs would take too much of this machine's memory";
  }
  const auto planned = [](uint64_t vram) {
    EngineOptions its = stories(9 * kGiB, vram);
    its.gpu = "auto";
    const auto plan = plan_model(its, nullptr);
    EXPECT_TRUE(plan) << plan.error().message;
    return plan && plan->device ? *plan->device : DevicePlan();
  };
  EXPECT_EQ(planned(200 * kMiB).name, "TestGpu") << "all of it fits there";
  const DevicePlan both = planned(34 * kMiB);
  EXPECT_EQ(both.name, "TestGpu and TestGpu1");
  EXPECT_EQ(both.shares.size(), 2U);
}

// What says to have more memory than it gives.
TEST_F(GpuSeveral, WhereOneHasLessThanItSaysItIsPlannedWithLess) {
  const EngineOptions its = stories(kPlenty, 34 * kMiB);
  const auto plan = plan_model(its, nullptr);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->mode(), Mode::kResident);
  SecondGpu::get().set_largest_buffer(16 * kMiB);  // less than the weights of its layers, more than a layer
  const auto engine = Engine::open(its);
  SecondGpu::get().set_largest_buffer(SIZE_MAX);
  ASSERT_TRUE(engine) << engine.error().message;
  EXPECT_EQ((*engine)->plan().mode(), Mode::kExpertStreaming);
  ASSERT_NO_FATAL_FAILURE(expect_shared(**engine, 6));
  Reference reference(kStories, kSharedContext, 64, 1);
  ASSERT_NO_FATAL_FAILURE(expect_logits(**engine, reference, "in less memory"));
}

TEST_F(GpuSeveral, CountersAreOfAllAndAWarmStartFillsAll) {
  EngineOptions its = stories(26 * kMiB, 64 * kMiB);
  its.run_history = true;
  its.resident = false;
  PlanOverrides overrides;
  overrides.mode = Mode::kExpertStreaming;
  overrides.gpu = {its.gpu, 8};
  const auto tell = [](Engine& engine) {
    GenerateOptions generate = greedy(120);
    generate.sampling.temperature = 1;
    generate.sampling.seed = 3;
    const auto told = (*engine.new_session())->complete("Once upon a time, there was a little rabbit", generate);
    EXPECT_TRUE(told) << told.error().message;
  };
  {
    const auto engine = open_overridden(its, overrides);
    ASSERT_TRUE(engine) << engine.error().message;
    tell(**engine);
    const EngineStats stats = (*engine)->stats();
    EXPECT_EQ(stats.gpu_expert_lookups, stats.decoded_tokens * 6 * 4);
    EXPECT_EQ(stats.expert_lookups, stats.gpu_expert_lookups);
    EXPECT_LT(stats.gpu_expert_hits, stats.expert_hits);
    ASSERT_EQ(stats.gpus.size(), 2U);
    EXPECT_EQ(stats.gpus[0].name, SeparateGpu::kName);
    EXPECT_EQ(stats.gpus[1].name, SecondGpu::kName);
    EXPECT_GT(stats.gpus[1].expert_hits, 0U);
    EXPECT_EQ(stats.gpus[0].expert_lookups + stats.gpus[1].expert_lookups, stats.gpu_expert_lookups);
    EXPECT_EQ(stats.gpus[0].expert_hits + stats.gpus[1].expert_hits, stats.gpu_expert_hits);
    EXPECT_EQ(stats.gpus[0].upload_bytes + stats.gpus[1].upload_bytes, stats.gpu_upload_bytes);
    const std::vector<uint32_t>& layers = (*engine)->plan().placement.gpu->device_layers;
    EXPECT_EQ(stats.gpus[0].expert_lookups, stats.decoded_tokens * layers[0] * 4) << "of its layers";
    EXPECT_GE(stats.gpu_upload_bytes, (stats.gpu_expert_lookups - stats.gpu_expert_hits) * kStoriesExpert);
    ASSERT_TRUE((*engine)->close());
  }
  const auto engine = open_overridden(its, overrides);
  ASSERT_TRUE(engine) << engine.error().message;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while ((*engine)->stats().gpu_upload_bytes < 6 * 8 * kStoriesExpert && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  EXPECT_EQ((*engine)->stats().gpu_upload_bytes, 6 * 8 * kStoriesExpert) << "every slot of both has got one";
  tell(**engine);
}

TEST_F(GpuSeveral, EachMayHaveABudgetOfItsOwn) {
  EngineOptions its = stories(kPlenty, 0);
  its.vram.reset();
  its.vram_each = {16 * kMiB, 48 * kMiB};
  const auto plan = plan_model(its, nullptr);
  ASSERT_TRUE(plan) << plan.error().message;
  const auto engine = Engine::open(its);
  ASSERT_TRUE(engine) << engine.error().message;
  ASSERT_NO_FATAL_FAILURE(expect_shared(**engine, 6));
  for (const Plan& it : {*plan, (*engine)->plan()}) {
    ASSERT_EQ(it.device->shares.size(), 2U);
    EXPECT_EQ(it.device->shares[0].budget, 16 * kMiB);
    EXPECT_EQ(it.device->shares[1].budget, 48 * kMiB);
    EXPECT_LT(it.device->shares[0].layers, it.device->shares[1].layers) << it.sentence;
  }
}

TEST_F(GpuSeveral, WhatCannotBeTogetherIsRefusedByName) {
  const auto refusal = [](const EngineOptions& its, ErrorCode code) {
    const auto opened = Engine::open(its);
    EXPECT_FALSE(opened) << its.gpu;
    const auto planned = plan_model(its, nullptr);
    EXPECT_FALSE(planned) << its.gpu;
    EXPECT_EQ(opened.error().code, code) << opened.error().message;
    return opened.error().message;
  };
  const auto named = [](const char* gpu) {
    EngineOptions its = stories(kPlenty, 24 * kMiB);
    its.gpu = gpu;
    return its;
  };
  EXPECT_NE(refusal(named("TestGpu,testgpu"), ErrorCode::kUsage).find("name it once"), std::string::npos);
  EXPECT_NE(refusal(named("TestGpu,CPU"), ErrorCode::kUsage).find("CPU has no memory of its own"), std::string::npos);
  const auto with_sizes = [](const char* gpu, std::vector<uint64_t> sizes) {
    EngineOptions it = stories(kPlenty, 0);
    it.gpu = gpu;
    it.vram.reset();
    it.vram_each = std::move(sizes);
    return it;
  };
  const std::vector<uint64_t> two = {24 * kMiB, 24 * kMiB};
  EXPECT_NE(refusal(with_sizes("TestGpu", two), ErrorCode::kUsage).find("gives 2 sizes, and --gpu TestGpu is 1 GPU:"),
            std::string::npos);
  EXPECT_NE(refusal(with_sizes("TestGpu,TestGpu1", {kMiB, kMiB, kMiB}), ErrorCode::kUsage).find("gives 3 sizes"),
            std::string::npos);
  EXPECT_NE(refusal(with_sizes("auto", two), ErrorCode::kUsage).find("name them by --gpu"), std::string::npos);
  EXPECT_NE(refusal(with_sizes("none", two), ErrorCode::kUsage).find("--gpu none is 0 GPUs"), std::string::npos);
  EXPECT_NE(refusal(stories(kPlenty, kMiB), ErrorCode::kBudget).find("cannot run on TestGpu"), std::string::npos);
}

}  // namespace
}  // namespace hypura
