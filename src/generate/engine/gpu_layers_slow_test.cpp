// A model whose last layers a GPU computes, and the processors the others, from RAM or streamed: the logits of plain
// llama.cpp with the same --n-gpu-layers, bit for bit, for each kind of model, division and budget. The GPU is one with
// memory of its own for which the processors compute, or ggml's CPU device; and one that ggml has, where there is one.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "backend/gpu/separate_gpu_for_test.h"
#include "generate/engine/engine_impl.h"
#include "generate/engine/model_cases_for_test.h"
#include "generate/engine/open_overridden.h"
#include "generate/engine/reference_for_test.h"
#include "generate/scheduler/llama_pass_model.h"
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
    overrides.range_bytes = 64 * kKiB;  // some matrices are copied to the GPU range by range
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
  uint64_t least_memory(const PlanOverrides& its, uint32_t sequences = 1) const {
    uint64_t low = 0;
    uint64_t high = enough_;
    while (high - low > high / 20) {
      const uint64_t middle = low + (high - low) / 2;
      (open_overridden(options(middle, sequences), its) ? high : low) = middle;
    }
    return high;
  }

  std::vector<ExpectedPass> expect(const std::string& device, GpuLayers layers) const {
    Reference reference(path_, kSplitTokens, kSplitPass, kSplitThreads, 1, false,
                        {device, layers.count, layers.experts});
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

  // Products that the GPU computes for a prompt of a whole pass and one token more.
  static std::pair<int64_t, int64_t> products_of(const std::function<void(const std::vector<int32_t>&)>& evaluate) {
    const int64_t single = SeparateGpu::get().single_products();
    const int64_t large = SeparateGpu::get().large_products();
    evaluate(test_tokens(kSplitPass));
    evaluate({300});
    return {SeparateGpu::get().single_products() - single, SeparateGpu::get().large_products() - large};
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

// Answers in company, with prompts and with drafts to verify. Passes of fewer rows than a GPU takes from the
// processors, and of more.
TEST_P(GpuLayersExactness, SequencesSharePasses) {
  constexpr uint32_t kSharers = 4;
  const GpuLayers layers = {counts()[2], true};
  PlanOverrides its = overrides(SeparateGpu::kName, layers, streaming(layers));
  its.pool = kSplitTokens * kSharers;
  auto engine = open_engine(options(least_memory(its, kSharers), kSharers), its);
  ASSERT_TRUE(engine) << engine.error().message;
  LlamaPassModel model(**engine, kSharers);
  Reference reference(path_, kSplitTokens * kSharers, kSplitPass, kSplitThreads, kSharers, false,
                      {SeparateGpu::kName, layers.count, true});
  const auto vocabulary = static_cast<size_t>((*engine)->vocabulary().size());
  std::vector<uint32_t> position(kSharers, 0);
  // So many tokens of each sequence.
  const std::vector<std::vector<std::pair<uint32_t, uint32_t>>> passes = {
      {{0, 5}},         {{1, 12}},         {{2, 40}},        {{3, 21}}, {{0, 1}, {1, 1}, {2, 1}, {3, 1}},
      {{1, 5}, {3, 1}}, {{0, 48}, {2, 1}}, {{3, 6}, {1, 2}}, {{2, 1}}};
  for (const auto& counts : passes) {
    std::vector<PassToken> tokens;
    for (const auto& [sequence, count] : counts) {
      for (uint32_t i = 0; i < count; ++i) {
        const auto token = static_cast<int32_t>(300 + (sequence * 917 + position[sequence] * 131) % 4000);
        tokens.push_back({token, position[sequence]++, sequence, true});
      }
    }
    const Status status = model.pass(tokens, static_cast<uint32_t>(tokens.size()));
    ASSERT_TRUE(status) << status.error().message;
    ASSERT_TRUE(reference.decode(tokens));
    for (size_t i = 0; i < tokens.size(); ++i) {
      ASSERT_EQ(std::memcmp(model.logits(i), llama_get_logits_ith(reference.context(), static_cast<int32_t>(i)),
                            vocabulary * sizeof(float)),
                0)
          << "token " << i << " of " << tokens.size();
    }
  }
}

// What the plan takes off the budget for the GPU's layers is what llama.cpp puts there.
TEST_P(GpuLayersExactness, TheGpuHasTheWeightsThatThePlanSays) {
  const bool tied = model_.find("output.weight") == nullptr;
  for (const bool experts : {true, false}) {
    for (const uint32_t count : counts()) {
      const GpuLayers layers = {count, experts};
      auto engine = open_engine(options(enough_), overrides(SeparateGpu::kName, layers, Mode::kResident));
      ASSERT_TRUE(engine) << engine.error().message;
      ggml_backend_device* device = SeparateGpu::get().device();
      const llama_context& context = (*engine)->context();
      const uint64_t there = weight_memory_on(context, *device);
      // The table of embeddings is copied there where it is the output matrix too.
      const uint64_t copied = tied && count > 0 ? model_.find("token_embd.weight")->extent.length : 0;
      const uint64_t said = gpu_weight_bytes(model_, layers) + copied;
      EXPECT_GE(there, said) << count;
      EXPECT_LE(there, said + model_.tensors.size() * 128) << count;
      EXPECT_EQ(context_memory(context, {&device, 1}).device_kv == 0, count <= 1);
    }
  }
}

// The GPU computes prompts in all layers, whether weights are in RAM or streamed: just what it would of plain
// llama.cpp.
TEST_P(GpuLayersExactness, PromptsAreTheGpusInAllLayers) {
  if (model_.experts > 0) {
    GTEST_SKIP() << "streamed experts are the processors' in any pass";
  }
  for (const uint32_t count : counts()) {
    const GpuLayers layers = {count, true};
    Reference reference(path_, kSplitTokens, kSplitPass, kSplitThreads, 1, false, {SeparateGpu::kName, count, true});
    const auto expected = products_of([&](const std::vector<int32_t>& tokens) { reference.evaluate(tokens, false); });
    EXPECT_GE(expected.second, model_.layers * 7);
    for (const std::optional<Mode> mode : {std::optional(Mode::kResident), streaming(layers)}) {
      if (mode) {
        auto engine = open_overridden(options(enough_), overrides(SeparateGpu::kName, layers, mode));
        ASSERT_TRUE(engine) << engine.error().message;
        auto session = (*engine)->new_session();
        const auto products =
            products_of([&](const std::vector<int32_t>& tokens) { ASSERT_TRUE((*session)->evaluate(tokens)); });
        EXPECT_EQ(products, expected) << count << " layers, " << to_string(*mode);
      }
    }
  }
}

// A weight that cannot be read ends the pass that wants it, wherever it is computed, and no other.
TEST_P(GpuLayersExactness, AFileThatIsCutEndsThePass) {
  if (model_.experts > 0 || model_.files.size() > 1) {
    GTEST_SKIP() << "for dense models in one file";
  }
  const std::filesystem::path whole = std::exchange(path_, folder_.path() / "cut.gguf");
  std::filesystem::copy_file(whole, path_);
  const GpuLayers layers = {counts()[1], true};
  const PlanOverrides its = overrides(SeparateGpu::kName, layers, streaming(layers));
  auto engine = open_overridden(options(least_memory(its)), its);
  ASSERT_TRUE(engine) << engine.error().message;
  auto session = (*engine)->new_session();
  for (const size_t length : {size_t{40}, size_t{3}}) {  // the GPU's, and the processors'
    (*session)->clear();
    const auto expected = (*session)->evaluate(test_tokens(length));
    ASSERT_TRUE(expected) << expected.error().message;
    std::filesystem::resize_file(path_, model_.files.front().size / 2);
    (*session)->clear();
    const auto failed = (*session)->evaluate(test_tokens(length));
    ASSERT_FALSE(failed) << length;
    EXPECT_EQ(failed.error().code, ErrorCode::kIo);
    EXPECT_NE(failed.error().message.find("cut.gguf"), std::string::npos) << failed.error().message;
    std::filesystem::copy_file(whole, path_, std::filesystem::copy_options::overwrite_existing);
    (*session)->clear();
    const auto again = (*session)->evaluate(test_tokens(length));
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(*again, *expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GpuLayersExactness, testing::ValuesIn(split_models()),
                         [](const auto& it) { return it.param.name; });

}  // namespace
}  // namespace hypura
