// A draft model beside a GPU: it lies there where that gives more, in the GPU's budget, and in RAM where it has no
// room. What the model says is the same. A device with memory of its own, for which the processors compute, stands for
// the GPU.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/gpu/late_gpu_for_test.h"
#include "backend/gpu/separate_gpu_for_test.h"
#include "generate/engine/eager_drafts_for_test.h"
#include "generate/engine/reference_for_test.h"
#include "hypura/plan.h"
#include "llama/models_for_test.h"
#include "plan/draft_worth.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

class GpuDraft : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(init_llama());
    SeparateGpu::add();
  }
  void TearDown() override { SeparateGpu::get().set_largest_buffer(SIZE_MAX); }

  static EngineOptions options(const char* model, uint64_t memory, uint64_t vram) {
    EngineOptions options;
    options.model = kModels / model;
    options.gpu = SeparateGpu::kName;
    options.memory = memory;
    options.vram = vram;
    options.context = 256;
    options.ubatch = 64;
    options.threads = 1;
    options.run_history = false;
    options.draft.model = kModels / "hypura-stories-draft.gguf";
    return options;
  }

  static std::vector<int32_t> tell(EngineImpl& engine) {
    const auto session = engine.new_session();
    std::vector<int32_t> tokens;
    for (const char* prompt : {"Tom has a red ball. Tom has a red ball. Tom", "Tom has a red ball. The old king"}) {
      const auto told = (*session)->complete(prompt, greedy(24));
      EXPECT_TRUE(told) << told.error().message;
      tokens.insert(tokens.end(), told->tokens.begin(), told->tokens.end());
    }
    return tokens;
  }

  // What the same model on the same GPU says without drafts.
  static std::vector<int32_t> told_without(EngineOptions options) {
    options.draft = {};
    const auto engine = open_eager(options);
    return engine == nullptr ? std::vector<int32_t>() : tell(*engine);
  }

  // So small a model the processors compute faster than a GPU starts its kernels.
  static PlanOverrides keeping() {
    PlanOverrides overrides;
    overrides.keep_draft_model = overrides.draft_on_gpu = true;
    return overrides;
  }

  static uint64_t bytes_of(const std::vector<LedgerLine>& ledger, Tier tier, std::optional<Purpose> purpose = {}) {
    uint64_t bytes = 0;
    for (const LedgerLine& line : ledger) {
      bytes += line.tier == tier && (!purpose || line.purpose == *purpose) ? line.bytes : 0;
    }
    return bytes;
  }

  static void expect_within_budgets(const EngineImpl& engine, const EngineOptions& its) {
    for (const auto& ledger : {engine.plan().ledger, engine.ledger()}) {
      EXPECT_LE(bytes_of(ledger, Tier::kDevice), *its.vram);
      EXPECT_LE(bytes_of(ledger, Tier::kRam), *its.memory + engine.plan().process_overhead);
    }
    for (const Tier tier : {Tier::kDevice, Tier::kRam}) {
      EXPECT_EQ(bytes_of(engine.ledger(), tier, Purpose::kDraftModel),
                bytes_of(engine.plan().ledger, tier, Purpose::kDraftModel));
    }
  }
};

// With experts in slots over slots in RAM, and a dense model of which the GPU has some layers.
TEST_F(GpuDraft, ItLiesOnTheGpuAndTheModelSaysTheSame) {
  for (const EngineOptions& its : {options("hypura-stories-moe.gguf", 40 * kMiB, 48 * kMiB),
                                   options("hypura-stories-draft.gguf", 64 * kMiB, 14 * kMiB)}) {
    const std::vector<int32_t> plain = told_without(its);
    const auto engine = open_eager(its, keeping());
    ASSERT_NE(engine, nullptr);
    const Plan& plan = engine->plan();
    SCOPED_TRACE(plan.sentence);
    ASSERT_TRUE(plan.device);
    EXPECT_THAT(plan.sentence, HasSubstr("more on TestGpu, which computes it"));
    EXPECT_THAT(plan.warnings, Not(Contains(HasSubstr("draft model"))));
    EXPECT_GT(bytes_of(plan.ledger, Tier::kDevice, Purpose::kDraftModel), 4 * kMiB);
    EXPECT_LE(plan.device->budget, *its.vram);
    expect_within_budgets(*engine, its);
    EXPECT_EQ(tell(*engine), plain);
    EXPECT_GT(engine->stats().accepted_draft_tokens, 8U);
    EXPECT_GE(engine->stats().drafted_tokens, engine->stats().accepted_draft_tokens);
  }
}

// Beside a model that takes all of its memory.
TEST_F(GpuDraft, WhereItHasNoRoomTheProcessorsDraft) {
  EngineOptions its = options("hypura-stories-moe.gguf", 64 * kMiB, 0);
  its.resident = false;
  its.vram = 8 * kMiB;
  while (!plan_model(its, nullptr) && *its.vram < 64 * kMiB) {
    *its.vram += 4 * kMiB;  // less than the draft model takes
  }
  const auto engine = open_eager(its, keeping());
  ASSERT_NE(engine, nullptr);
  const Plan& plan = engine->plan();
  ASSERT_TRUE(plan.device) << plan.sentence;
  EXPECT_THAT(plan.sentence, HasSubstr("for the draft model, in RAM, which the processors compute"));
  EXPECT_THAT(plan.warnings, Contains(AllOf(HasSubstr("hypura-stories-draft.gguf lies in RAM"),
                                            HasSubstr("TestGpu has no room for its"))));
  EXPECT_EQ(bytes_of(plan.ledger, Tier::kDevice, Purpose::kDraftModel), 0U);
  expect_within_budgets(*engine, its);
  EXPECT_EQ(tell(*engine), told_without(its));
  EXPECT_GT(engine->stats().accepted_draft_tokens, 8U);
}

// Other programs took what it was to have. The model itself is the processors' then, too.
TEST_F(GpuDraft, WhereTheGpuGivesNoMemoryTheProcessorsDraft) {
  EngineOptions its = options("hypura-stories-draft.gguf", 64 * kMiB, 64 * kMiB);
  SeparateGpu::get().set_largest_buffer(64 * kKiB);
  const auto engine = open_eager(its, keeping());
  ASSERT_NE(engine, nullptr);
  EXPECT_THAT(engine->plan().warnings, Contains(HasSubstr("TestGpu has no memory for it (")));
  EXPECT_EQ(bytes_of(engine->ledger(), Tier::kDevice, Purpose::kDraftModel), 0U);
  EXPECT_FALSE(tell(*engine).empty());
  EXPECT_GT(engine->stats().accepted_draft_tokens, 8U);
}

// It has the machine's memory, and so has the draft model: one budget.
TEST_F(GpuDraft, WhereTheGpuComputesInRamItComesOutOfTheOneBudget) {
  LateGpu::in_ram().add();
  EngineOptions its = options("hypura-stories-moe.gguf", 70 * kMiB, 0);
  its.gpu = "InRamGpu";
  its.vram = {};
  {
    const auto engine = open_eager(its, keeping());
    ASSERT_NE(engine, nullptr);
    const Plan& plan = engine->plan();
    EXPECT_EQ(plan.device->name, "InRamGpu");
    EXPECT_THAT(plan.sentence, AllOf(HasSubstr("more for the draft model"), Not(HasSubstr("which the processors"))));
    EXPECT_GT(bytes_of(engine->ledger(), Tier::kRam, Purpose::kDraftModel), 4 * kMiB);
    EXPECT_LE(bytes_of(engine->ledger(), Tier::kRam) + bytes_of(engine->ledger(), Tier::kDevice),
              *its.memory + plan.process_overhead);
    EXPECT_EQ(tell(*engine), told_without(its));
    EXPECT_GT(engine->stats().accepted_draft_tokens, 8U);
  }
  LateGpu::in_ram().remove();
}

}  // namespace
}  // namespace hypura
