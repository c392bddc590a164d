// Every architecture that llama.cpp's own test can make a model of: resident, streamed at the smallest budget and on a
// GPU for which the processor computes, the logits are those of plain llama.cpp, bit for bit. Hypura has no list of
// architectures; what is new in llama.cpp is tried here when its pin moves.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "arch_models/arch_models.h"
#include "backend/gpu/separate_gpu_for_test.h"
#include "generate/engine/open_overridden.h"
#include "generate/engine/reference_for_test.h"
#include "llama/open/memory_estimate.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {

inline void PrintTo(const ArchModel& it, std::ostream* out) {
  *out << it.name();
}

namespace {

constexpr uint32_t kArchContext = 256;  // what these models were trained for
constexpr uint32_t kArchPass = 32;
constexpr uint32_t kArchSlots = 3;  // on the GPU: one more than a token takes

class Architecture : public testing::TestWithParam<ArchModel> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(init_llama());
    path_ = folder_.path() / "model.gguf";
    const Status written = write_arch_model(GetParam(), path_);
    ASSERT_TRUE(written) << written.error().message;
    auto model = open_model(path_);
    ASSERT_TRUE(model) << model.error().message;
    model_ = std::move(*model);
    enough_ = model_.bytes * 2 + 512 * kMiB;
  }

  EngineOptions options(uint64_t memory) const {
    EngineOptions options;
    options.model = path_;
    options.memory = memory;
    options.context = kArchContext;
    options.ubatch = options.outputs = kArchPass;
    options.threads = 1;
    options.gpu = "none";
    options.run_history = false;
    options.repack = false;  // as the reference
    return options;
  }

  // One token, a whole pass with a part of one, and single ones after both.
  static std::vector<Expected> expected(Reference& reference) {
    std::vector<Expected> all;
    int32_t next = 0;
    for (const size_t length : {1, 40}) {
      for (const size_t count : {length, size_t{1}, size_t{1}}) {
        Expected it{std::vector<int32_t>(count), all.size() % 3 == 0, {}};
        std::ranges::generate(it.tokens, [&] { return 4 + (next += 37) % 120; });
        it.logits = reference.evaluate(it.tokens, it.fresh);
        all.push_back(std::move(it));
      }
    }
    return all;
  }

  // And what was done for them, by `check`.
  static void expect_same(const EngineOptions& options, const PlanOverrides& overrides,
                          const std::vector<Expected>& all, const std::string& where,
                          const std::function<void(const EngineStats&)>& check) {
    auto engine = open_overridden(options, overrides);
    ASSERT_TRUE(engine) << where << ": " << engine.error().message;
    auto session = (*engine)->new_session();
    ASSERT_TRUE(session) << where << ": " << session.error().message;
    ASSERT_NO_FATAL_FAILURE(expect_same_logits(**session, all, where + ", " + (*engine)->plan().sentence));
    check((*engine)->stats());
  }

  TempDir folder_;
  std::filesystem::path path_;
  Model model_;
  uint64_t enough_ = 0;
};

TEST_P(Architecture, LogitsEqualThoseOfPlainLlama) {
  Reference reference(path_, kArchContext, kArchPass, 1);
  if (llama_model_is_diffusion(reference.model())) {  // it has no next token
    const auto refused = open_overridden(options(enough_), {});
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, testing::HasSubstr("is a diffusion model"));
    return;
  }
  // What the plan reckons with before there is a context.
  EXPECT_LE(context_memory(*reference.context()).kv, estimate_context_bytes(model_, kArchContext, KvType::kF16, 1));

  const std::vector<Expected> all = expected(reference);
  for (const Expected& it : all) {
    ASSERT_TRUE(!it.logits.empty() && std::ranges::all_of(it.logits, [](float logit) { return std::isfinite(logit); }));
  }
  ASSERT_NO_FATAL_FAILURE(expect_same(options(enough_), {}, all, "resident",
                                      [](const EngineStats& stats) { EXPECT_EQ(stats.streamed_bytes, 0U); }));

  EngineOptions streamed = options(enough_);
  streamed.resident = false;
  streamed.memory = smallest_budget(streamed, enough_);
  ASSERT_NO_FATAL_FAILURE(expect_same(streamed, {}, all, "streamed",
                                      [](const EngineStats& stats) { EXPECT_GT(stats.streamed_bytes, 0U); }));
}

// With slots for experts; of a model without them its last layers, as llama.cpp has them there by itself.
TEST_P(Architecture, LogitsOfAGpuEqualThoseOfPlainLlama) {
  SeparateGpu::add();
  const bool experts = model_.experts > 0;
  const auto layers = 1 + static_cast<uint32_t>(model_.layers) / 2;
  Reference reference(path_, kArchContext, kArchPass, 1, 1, false,
                      experts ? ReferenceGpu{} : ReferenceGpu{SeparateGpu::kName, layers});
  if (llama_model_is_diffusion(reference.model())) {
    return;  // see above
  }
  PlanOverrides overrides;
  overrides.gpu = GpuOverride{SeparateGpu::kName, kArchSlots, true, {}};
  if (experts) {
    overrides.mode = Mode::kExpertStreaming;
  } else {
    overrides.gpu->layers = GpuLayers{.count = layers};
  }
  EngineOptions opened = options(enough_);
  opened.gpu = "auto";
  opened.resident = !experts;
  const int64_t before = SeparateGpu::get().single_products();
  ASSERT_NO_FATAL_FAILURE(
      expect_same(opened, overrides, expected(reference), "on a GPU", [&](const EngineStats& stats) {
        EXPECT_EQ(stats.gpu_expert_lookups > 0, experts);
        EXPECT_GT(SeparateGpu::get().single_products(), before);
      }));
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Architecture);  // there are none in an older llama.cpp
INSTANTIATE_TEST_SUITE_P(Every, Architecture, testing::ValuesIn(arch_models()),
                         [](const testing::TestParamInfo<ArchModel>& it) { return it.param.name(); });

}  // namespace
}  // namespace hypura
