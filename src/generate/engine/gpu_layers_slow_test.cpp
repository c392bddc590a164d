// A model whose last layers a GPU computes, and the processors the others, from RAM or streamed: the logits of plain
// llama.cpp with the same --n-gpu-layers, bit for bit, for each kind of model, division and budget. The GPU is one with
// memory of its own for which the processors compute, or ggml's CPU device; and one that ggml has, where there is one.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>

#include "backend/gpu/separate_gpu_for_test.h"
#include "generate/engine/engine_impl.h"
#include "generate/engine/model_cases_for_test.h"
#include "generate/engine/open_overridden.h"
#include "generate/scheduler/llama_pass_model.h"
#include "generate/engine/reference_for_test.h"
#include "plan/gpu_share.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

constexpr uint32_t kSplitTokens = 512;  // of a context
constexpr uint32_t kSplitPass = 64;
constexpr uint32_t kSplitThreads = 1;  // those of a device and of the processors would only wait for each other

std::vector<ModelCase> split_models() {
  std::vector<ModelCase> models = expert_models();
  models.push_back({"stories_draft", "hypura-stories-draft.gguf", {}});
  models.push_back({"dense", "", small_spec("dense", "Q4_0")});
  models.push_back({"dense_f16", "", small_spec("dense", "F16")});
  models.push_back({"dense_split", "", small_spec("dense", "Q8_0", "", 3)});
  return models;
}

struct ExpectedPass {
  std::vector<int32_t> tokens;
  bool fresh = false;  // from an empty context on
  std::vector<float> logits;
};

class GpuLayersExactness : public testing::TestWithParam<ModelCase> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(init_llama());
    SeparateGpu::add();
    path_ = model_file(GetParam(), folder_.path());
    ASSERT_FALSE(path_.empty());
    auto model = open_model(path_);
    ASSERT_TRUE(model);
    model_ = std::move(*model);
    enough_ = model_.bytes * 2 + 512 * kMiB;
  }

  EngineOptions options(uint64_t memory, uint32_t sequences = 1) const {
    EngineOptions options;
    options.model = path_;
    options.context = kSplitTokens;
    options.sequences = sequences;
    options.ubatch = options.outputs = kSplitPass;
    options.threads = kSplitThreads;
    options.memory = memory;
    options.run_history = false;
    return options;
  }

  static PlanOverrides overrides(const std::string& device, GpuLayers layers, std::optional<Mode> mode) {
    PlanOverrides overrides;
    overrides.mode = mode;
    overrides.gpu = GpuOverride{device, 0, true, layers};
    return overrides;
  }

  // None, the output, half of the layers, all but one, all.
  std::vector<uint32_t> counts() const {
    const auto all = static_cast<uint32_t>(model_.layers + 1);
    return {0, 1, 1 + static_cast<uint32_t>(model_.layers) / 2, all - 1, all};
  }

  // Everything before the GPU's layers that can be.
  std::optional<Mode> streaming(GpuLayers layers) const {
    const StreamLayout layout = lay_out(model_, true, true, false, layers_before_gpu(model_, layers));
    if (layout.dense.empty() && layout.expert_layers.empty()) {
      return std::nullopt;
    }
    return layout.expert_layers.empty() ? Mode::kDenseStreaming
           : layout.dense.empty()       ? Mode::kExpertStreaming
                                        : Mode::kMixedStreaming;
  }

  // The least with which it opens, to 5 %.
  uint64_t least_memory(const PlanOverrides& its) const {
    uint64_t low = 0;
    uint64_t high = enough_;
    while (high - low > high / 20) {
      const uint64_t middle = low + (high - low) / 2;
      (open_overridden(options(middle), its) ? high : low) = middle;
    }
    return high;
  }

  std::vector<ExpectedPass> expect(const std::string& device, GpuLayers layers) const {
    Reference reference(path_, kSplitTokens, kSplitPass, kSplitThreads, 1, false, {device, layers.count, layers.experts});
    std::vector<ExpectedPass> all;
    for (const size_t length : {size_t{1}, size_t{20}, size_t{kSplitPass}, size_t{150}}) {
      all.push_back({test_tokens(length), true, {}});
      for (const int32_t token : test_tokens(3)) {
        all.push_back({{token}, false, {}});
      }
    }
    for (ExpectedPass& it : all) {
      it.logits = reference.evaluate(it.tokens, it.fresh);
    }
    return all;
  }

  static void compare(Session& session, const std::vector<ExpectedPass>& all, const std::string& where) {
    for (const ExpectedPass& it : all) {
      if (it.fresh) {
        session.clear();
      }
      const auto actual = session.evaluate(it.tokens);
      ASSERT_TRUE(actual) << where << ": " << actual.error().message;
      ASSERT_EQ(actual->size(), it.logits.size());
      ASSERT_EQ(std::memcmp(actual->data(), it.logits.data(), it.logits.size() * sizeof(float)), 0)
          << where << ": logits differ after " << it.tokens.size() << " tokens";
    }
  }

  // Resident, and at two budgets everything streamed that can be.
  void try_budgets(const std::string& device, GpuLayers layers) {
    const std::vector<ExpectedPass> expected = expect(device, layers);
    const auto mode = streaming(layers);
    struct Budget {
      std::optional<Mode> mode;
      uint64_t bytes;
    };
    std::vector<Budget> budgets = {{Mode::kResident, enough_}};
    if (mode) {
      const uint64_t least = least_memory(overrides(device, layers, mode));
      budgets.push_back({mode, least});
      budgets.push_back({mode, least + model_.bytes / 4});
    }
    for (const auto& [its_mode, bytes] : budgets) {
    const std::string where = fmt::format("{} layers on {}, {} of {}", layers.count, device,
                                            its_mode ? to_string(*its_mode) : "", format_bytes(bytes));
      auto engine = open_overridden(options(bytes), overrides(device, layers, its_mode));
      ASSERT_TRUE(engine) << where << ": " << engine.error().message;
      auto session = (*engine)->new_session();
      ASSERT_TRUE(session);
      ASSERT_NO_FATAL_FAILURE(compare(**session, expected, where));
    }
  }

  TempDir folder_;
  std::filesystem::path path_;
  Model model_;
  uint64_t enough_ = 0;
};

TEST_P(GpuLayersExactness, LogitsEqualThoseOfPlainLlama) {
  for (const uint32_t count : counts()) {
    const int64_t before = SeparateGpu::get().single_products();
    ASSERT_NO_FATAL_FAILURE(try_budgets(SeparateGpu::kName, {count, true}));
    EXPECT_EQ(SeparateGpu::get().single_products() > before, count > 0);
  }
}

TEST_P(GpuLayersExactness, TheProcessorMayStandForTheGpu) {
  ASSERT_NO_FATAL_FAILURE(try_budgets("CPU", {counts()[2], true}));
}

// As --cpu-moe, with the experts streamed.
TEST_P(GpuLayersExactness, ExpertsMayStayWithTheProcessors) {
  if (model_.experts == 0) {
    GTEST_SKIP() << "it has no experts";
  }
  ASSERT_NO_FATAL_FAILURE(try_budgets(SeparateGpu::kName, {counts()[4], false}));
}

INSTANTIATE_TEST_SUITE_P(Models, GpuLayersExactness, testing::ValuesIn(split_models()),
                         [](const auto& it) { return it.param.name; });

}  // namespace
}  // namespace hypura
