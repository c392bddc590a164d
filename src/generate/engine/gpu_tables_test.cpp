// Tables of which rows are looked up, beside a GPU: where RAM has no room for them their rows come from disk, as
// without a GPU, and the logits are those of plain llama.cpp on the same device. Devices for which the processors
// compute stand for GPUs.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "backend/gpu/late_gpu_for_test.h"
#include "backend/gpu/separate_gpu_for_test.h"
#include "generate/engine/model_cases_for_test.h"
#include "generate/engine/open_overridden.h"
#include "generate/engine/reference_for_test.h"
#include "hypura/plan.h"
#include "model/model.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

constexpr uint32_t kTablePass = 64;
constexpr uint32_t kTableContext = 256;

class GpuTables : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(init_llama());
    SeparateGpu::add();
  }
  void TearDown() override { LateGpu::in_ram().remove(); }

  void make(ModelSpec spec) {
    path_ = model_file({"tables", "", std::move(spec)}, folder_.path());
    ASSERT_FALSE(path_.empty());
  }

  EngineOptions options(const std::string& gpu, uint64_t memory, std::optional<uint64_t> vram) const {
    return gpu_options(path_, gpu, memory, vram, kTableContext, kTablePass);
  }

  // Opens, with rows of tables looked up and the logits of `reference`.
  void expect_rows(const EngineOptions& its, Reference& reference, const std::string& table,
                   const PlanOverrides& overrides = {}) const {
    auto engine = open_overridden(its, overrides);
    ASSERT_TRUE(engine) << engine.error().message;
    const Plan& plan = (*engine)->plan();
    SCOPED_TRACE(plan.sentence);
    ASSERT_TRUE(plan.device);
    EXPECT_TRUE(plan.placement.tables.streamed);
    const auto it = std::ranges::find(plan.tensors, table, &PlacedTensor::name);
    ASSERT_NE(it, plan.tensors.end());
    EXPECT_EQ(it->way, Way::kRows);
    for (const auto& ledger : {plan.ledger, (*engine)->ledger()}) {
      uint64_t rows = 0;
      uint64_t in_ram = 0;
      for (const LedgerLine& line : ledger) {
        rows += line.purpose == Purpose::kTableRows ? line.bytes : 0;
        in_ram += line.tier == Tier::kRam ? line.bytes : 0;
      }
      EXPECT_GT(rows, 0U);
      EXPECT_LT(rows, it->bytes);
      EXPECT_LE(in_ram, *its.memory + plan.process_overhead);
    }
    ASSERT_NO_FATAL_FAILURE(expect_logits_of(reference, **engine, 100, its.gpu));
    EXPECT_GE((*engine)->stats().table_rows, 110U);
    EXPECT_GT((*engine)->stats().table_rows_read, 0U);
  }

  TempDir folder_;
  std::filesystem::path path_;
};

// Experts in slots: on a GPU, on two, and on one that computes in the machine's memory.
TEST_F(GpuTables, OfAModelWithExperts) {
  ASSERT_NO_FATAL_FAILURE(make(small_spec("qwen3moe", "Q4_0")));
  SecondGpu::add();
  LateGpu::in_ram().add();
  PlanOverrides looked_up;
  looked_up.row_cache = 64 * kKiB;
  looked_up.mode = Mode::kExpertStreaming;
  Reference reference(path_, kTableContext, kTablePass, 1);
  const std::string both = fmt::format("{},{}", SeparateGpu::kName, SecondGpu::kName);
  for (const std::string& gpu : {std::string(SeparateGpu::kName), both}) {
    ASSERT_NO_FATAL_FAILURE(expect_rows(options(gpu, 64 * kMiB, 16 * kMiB), reference, "token_embd.weight", looked_up));
  }
  ASSERT_NO_FATAL_FAILURE(
      expect_rows(options("InRamGpu", 32 * kMiB, std::nullopt), reference, "token_embd.weight", looked_up));
}

// Of a dense model that is all on the GPU but for its table, which is larger than RAM, and of one with a part there.
TEST_F(GpuTables, LargerThanRam) {
  ModelSpec spec = small_spec("gemma4", "Q8_0");
  spec.per_layer = 512;
  spec.skew = 0;
  ASSERT_NO_FATAL_FAILURE(make(spec));
  const auto model = open_model(path_);
  ASSERT_TRUE(model);
  const TensorInfo* table = model->find("per_layer_token_embd.weight");
  ASSERT_NE(table, nullptr);
  constexpr uint64_t kMemory = 14 * kMiB;
  ASSERT_GT(table->extent.length, kMemory);
  for (const uint64_t vram : {64 * kMiB, 8 * kMiB}) {
    const EngineOptions its = options(SeparateGpu::kName, kMemory, vram);
    const auto plan = plan_model(its, nullptr);
    ASSERT_TRUE(plan) << plan.error().message;
    ASSERT_TRUE(plan->device && plan->device->layers) << plan->sentence << plan->why;
    EXPECT_EQ(*plan->device->layers == plan->device->all_layers, vram == 64 * kMiB) << plan->sentence;
    Reference reference(path_, kTableContext, kTablePass, 1, 1, false,
                        {SeparateGpu::kName, *plan->device->layers + 1, true});
    ASSERT_NO_FATAL_FAILURE(expect_rows(its, reference, table->name));
  }
}

}  // namespace
}  // namespace hypura
