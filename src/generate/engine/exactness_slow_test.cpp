// Streaming changes when bytes arrive, never the result: logits equal those of plain llama.cpp, bit for bit, for every
// kind of model, at budgets from the smallest to everything, for single tokens and prompts, on 1 and 2 threads.

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "backend/repack_buffer.h"
#include "generate/engine/model_cases_for_test.h"
#include "generate/engine/open_overridden.h"
#include "generate/engine/reference_for_test.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

constexpr uint32_t kContext = 512;
// One token, few, a whole pass, and several with a part of one.
const std::vector<size_t> kPrompts = {1, 7, 64, 150};
constexpr uint32_t kUbatch = 64;
// Of the models' matrices some are cut into several ranges of rows by it, others are not.
constexpr uint64_t kRange = 64 * kKiB;
// Fewer rows than passes have tokens.
constexpr uint64_t kRowCache = 6 * kKiB;

std::vector<ModelCase> all_models() {
  std::vector<ModelCase> models = expert_models();
  models.push_back({"stories_draft", "hypura-stories-draft.gguf", {}});
  models.push_back({"dense", "", small_spec("dense", "Q4_0")});
  models.push_back({"dense_f16", "", small_spec("dense", "F16")});
  models.push_back({"dense_tied", "", small_spec("dense", "Q6_K")});
  models.back().spec.tied = true;
  models.push_back({"gemma4", "", small_spec("gemma4", "Q8_0")});
  models.back().spec.skew = 0;
  models.push_back({"qwen3moe_tied", "", small_spec("qwen3moe", "Q4_0")});
  models.back().spec.tied = true;
  models.push_back({"dense_split", "", small_spec("dense", "Q8_0", "", 3)});
  return models;
}

class Exactness : public testing::TestWithParam<ModelCase> {
 protected:
  void SetUp() override {
    path_ = model_file(GetParam(), folder_.path());
    ASSERT_FALSE(path_.empty());
  }

  EngineOptions options(uint32_t threads) const {
    EngineOptions options;
    options.model = path_;
    options.context = kContext;
    options.ubatch = kUbatch;
    options.outputs = kUbatch;
    options.threads = threads;
    options.resident = false;
    options.run_history = false;
    options.repack = false;  // as the reference
    return options;
  }

  // From the smallest budget to one that caches everything, whoever's predictions are read ahead.
  void expect_at_all_budgets(uint32_t threads) const {
    const auto model = open_model(path_);
    ASSERT_TRUE(model);
    const bool has_table =
        model->find("output.weight") != nullptr || model->find("per_layer_token_embd.weight") != nullptr;
    const uint64_t rows_of_tests = std::accumulate(kPrompts.begin(), kPrompts.end(), 3 * kPrompts.size());
    Reference reference(path_, kContext, kUbatch, threads);
    const std::vector<Expected> expected = expect_all(reference, kPrompts, test_tokens(3));
    PlanOverrides overrides;
    overrides.range_bytes = kRange;
    overrides.row_cache = kRowCache;
    const uint64_t least = smallest_budget(options(threads), model->bytes * 2 + 512 * kMiB, 0, overrides);
    const std::pair<double, ReadAhead> cases[] = {{0.0, ReadAhead::kAuto},         {0.15, ReadAhead::kRouter},
                                                  {0.3, ReadAhead::kCoactivation}, {0.5, ReadAhead::kRouter},
                                                  {0.8, ReadAhead::kNone},         {1.2, ReadAhead::kAuto}};
    for (const auto& [share, read_ahead] : cases) {
      EngineOptions opened = options(threads);
      overrides.read_ahead = read_ahead;
      overrides.row_cache = share > 1 ? std::optional<uint64_t>() : kRowCache;
      opened.memory = least + static_cast<uint64_t>(share * static_cast<double>(model->bytes));
      auto engine = open_overridden(opened, overrides);
      ASSERT_TRUE(engine) << engine.error().message;
      auto session = (*engine)->new_session();
      ASSERT_TRUE(session);
      const std::string& where = (*engine)->plan().sentence;
      ASSERT_NO_FATAL_FAILURE(expect_same_logits(**session, expected, where));
      EXPECT_GE((*engine)->stats().table_rows, share <= 1 && has_table ? rows_of_tests : 0) << where;
      if (share == 0.0) {
        EXPECT_GT((*engine)->stats().streamed_bytes, model->bytes / 2) << where;
      }
    }
  }

  TempDir folder_;
  std::filesystem::path path_;
};

TEST_P(Exactness, LogitsEqualThoseOfPlainLlama) {
  expect_at_all_budgets(1);
}

TEST_P(Exactness, LogitsEqualThoseOfPlainLlamaOnTwoThreads) {
  expect_at_all_budgets(2);
}

// Weights that are repacked for a prompt give the same logits at every budget and on every run; nearly those of plain
// llama.cpp, which are summed in another order. (That products in the buffer are those of weights that llama.cpp
// repacked itself: backend/repack_buffer_test.cpp.)
TEST_P(Exactness, RepackedPromptsAreTheSameAtEveryBudgetOnTwoThreads) {
  const auto model = open_model(path_);
  ASSERT_TRUE(model);
  static_cast<void>(init_llama());
  if (RepackBuffer::bytes(lay_out(*model, true, true), 256) == 0) {
    GTEST_SKIP() << "ggml has no faster layout for this model's types on this processor";
  }
  EngineOptions opened = options(2);
  opened.repack = true;
  opened.ubatch = opened.outputs = 256;
  PlanOverrides overrides;
  overrides.range_bytes = kWholeMatrix;
  const uint64_t least = smallest_budget(opened, model->bytes * 2 + 512 * kMiB, 0, overrides);
  const std::vector<int32_t> prompt = test_tokens(300);
  const std::vector<float> plain = Reference(path_, kContext, 256, 2).evaluate(prompt, true);
  std::vector<float> first;
  for (const auto& [share, threads] : {std::pair{0.0, 2U}, {0.3, 1U}, {0.3, 2U}, {1.2, 2U}}) {
    opened.memory = least + static_cast<uint64_t>(share * static_cast<double>(model->bytes));
    opened.threads = threads;
    overrides.range_bytes = share == 0 ? kWholeMatrix : kRange;
    const auto engine = open_overridden(opened, overrides);
    ASSERT_TRUE(engine) << engine.error().message;
    const auto session = (*engine)->new_session();
    ASSERT_TRUE(session);
    for (int again = 0; again < 2; ++again) {
      (*session)->clear();
      const auto logits = (*session)->evaluate(prompt);
      ASSERT_TRUE(logits) << logits.error().message;
      first = first.empty() ? *logits : first;
      ASSERT_EQ(std::memcmp(logits->data(), first.data(), first.size() * sizeof(float)), 0)
          << (*engine)->plan().sentence << ", run " << again;
    }
  }
  // Rounding makes a router choose another expert now and then: no more than where llama.cpp repacks.
  const std::vector<float> repacked = Reference(path_, kContext, 256, 2, 1, true).evaluate(prompt, true);
  EXPECT_LT(distance(first, plain), 1.1 * distance(repacked, plain) + 1e-6);
  const std::string& type = GetParam().spec.type;
  if (GetParam().real.empty() && type == "Q4_0" && RepackBuffer::least_rows(GGML_TYPE_Q4_0, 64, 64) <= 256) {
    EXPECT_NE(first, plain) << "nothing was repacked";
  }
}

// The shapes of other families: latent attention, a recurrent state, shared experts, mixtures of types. Only what tells
// them apart is tried: resident, and with the least memory.
class ExactnessOfShapes : public Exactness {};

TEST_P(ExactnessOfShapes, ResidentAndWithTheLeastMemoryAsPlainLlama) {
  const auto model = open_model(path_);
  ASSERT_TRUE(model);
  Reference reference(path_, kContext, kUbatch, 1);
  const std::vector<Expected> expected = expect_all(reference, {70}, test_tokens(2));
  PlanOverrides overrides;
  overrides.range_bytes = kRange;
  const uint64_t least = smallest_budget(options(1), model->bytes * 2 + 512 * kMiB, 0, overrides);
  for (const bool resident : {true, false}) {
    EngineOptions opened = options(1);
    opened.resident = resident;
    opened.memory = resident ? std::optional<uint64_t>() : least;
    const auto engine = open_overridden(opened, overrides);
    ASSERT_TRUE(engine) << engine.error().message;
    const auto session = (*engine)->new_session();
    ASSERT_TRUE(session);
    const std::string& where = (*engine)->plan().sentence;
    ASSERT_NO_FATAL_FAILURE(expect_same_logits(**session, expected, where));
    EXPECT_EQ((*engine)->plan().mode() == Mode::kResident, resident) << where;
    EXPECT_EQ((*engine)->stats().streamed_bytes > model->bytes / 2, !resident) << where;
  }
}

std::vector<ModelCase> models_of_shapes() {
  std::vector<ModelCase> models = {{"deepseek2", "", small_spec("deepseek2", "Q4_0")},
                                   {"glm4moe_mixture", "", small_spec("glm4moe", "Q4_K_M")},
                                   {"qwen3next", "", small_spec("qwen3next", "Q4_0")},
                                   {"gpt_oss_mxfp4", "", small_spec("gpt-oss", "MXFP4_MOE")}};
  for (ModelCase& it : models) {
    it.spec.experts = 16;
  }
  return models;
}

INSTANTIATE_TEST_SUITE_P(Models, ExactnessOfShapes, testing::ValuesIn(models_of_shapes()),
                         [](const auto& it) { return it.param.name; });

INSTANTIATE_TEST_SUITE_P(Models, Exactness, testing::ValuesIn(all_models()),
                         [](const auto& it) { return it.param.name; });

}  // namespace
}  // namespace hypura
