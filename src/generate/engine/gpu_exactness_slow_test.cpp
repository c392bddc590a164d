// A model that a GPU computes, with slots for some of its experts, gives the logits of plain llama.cpp on the same
// device, bit for bit: for every kind of model with experts, few slots to all, prompts and single tokens, and passes of
// several sequences. ggml's CPU device stands for the GPU (backend/gpu/gpu_executor_test.cpp has real ones).

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>

#include "backend/gpu/gpu_executor.h"
#include "generate/engine/engine_impl.h"
#include "generate/engine/model_cases_for_test.h"
#include "generate/engine/open_overridden.h"
#include "generate/engine/reference_for_test.h"
#include "generate/scheduler/llama_pass_model.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

constexpr uint32_t kPrompt = 512;
constexpr uint32_t kTokens = kPrompt + 64;  // of a context
constexpr uint32_t kMostSlots = 1000;       // more than there are experts

class GpuExactness : public testing::TestWithParam<ModelCase> {
 protected:
  void SetUp() override {
    path_ = model_file(GetParam(), folder_.path());
    ASSERT_FALSE(path_.empty());
    const auto model = open_model(path_);
    ASSERT_TRUE(model);
    enough_ = model->bytes * 2 + 512 * kMiB;
    experts_ = static_cast<uint32_t>(model->experts);
  }

  EngineOptions options(uint32_t ubatch, uint32_t threads, uint64_t memory, uint32_t sequences = 1) const {
    EngineOptions options;
    options.model = path_;
    options.context = kTokens;
    options.sequences = sequences;
    options.ubatch = options.outputs = ubatch;
    options.threads = threads;
    options.memory = memory;
    options.run_history = false;
    options.repack = false;  // as the reference
    return options;
  }

  static PlanOverrides with_slots(uint32_t slots, bool stages = true) {
    PlanOverrides overrides;
    overrides.mode = Mode::kExpertStreaming;
    overrides.gpu = {"CPU", slots, stages};
    return overrides;
  }

  // The least with which it opens, to 5 %: few slots in RAM.
  uint64_t least_memory(uint32_t ubatch) const {
    uint64_t low = 0;
    uint64_t high = enough_;
    while (high - low > high / 20) {
      const uint64_t middle = low + (high - low) / 2;
      (open_overridden(options(ubatch, 1, middle), with_slots(4)) ? high : low) = middle;
    }
    return high;
  }

  struct Expected {
    std::vector<int32_t> tokens;
    bool fresh = false;  // from an empty context on
    std::vector<float> logits;
  };

  // Prompts of several lengths, each followed by single tokens.
  std::vector<Expected> expect(uint32_t ubatch, uint32_t threads) const {
    Reference reference(path_, kTokens, ubatch, threads);
    std::vector<Expected> all;
    for (const size_t length : {size_t{1}, size_t{7}, size_t{64}, size_t{kPrompt}}) {
      all.push_back({test_tokens(length), true, {}});
      for (const int32_t token : test_tokens(3)) {
        all.push_back({{token}, false, {}});
      }
    }
    for (Expected& it : all) {
      it.logits = reference.evaluate(it.tokens, it.fresh);
    }
    return all;
  }

  static void compare(Session& session, const std::vector<Expected>& all, const std::string& where) {
    for (const Expected& it : all) {
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

  TempDir folder_;
  std::filesystem::path path_;
  uint64_t enough_ = 0;
  uint32_t experts_ = 0;  // of a layer
};

TEST_P(GpuExactness, LogitsEqualThoseOfPlainLlama) {
  struct Slots {
    uint32_t on_device;
    bool few_in_ram;
    bool stages = true;
  };
  const std::pair<uint32_t, std::vector<Slots>> cases[] = {
      {64, {{4, true}, {12, false}, {3, false, false}, {kMostSlots, true}}},
      {kPrompt, {{0, true}, {12, true}, {31, false}, {7, true, false}}}};
  for (const auto& [ubatch, all] : cases) {
    const uint64_t least = least_memory(ubatch);
    const uint32_t threads = ubatch == kPrompt ? 2 : 1;
    const std::vector<Expected> expected = expect(ubatch, threads);
    for (const auto& [slots, few_in_ram, stages] : all) {
      auto engine = open_overridden(options(ubatch, threads, few_in_ram ? least : enough_), with_slots(slots, stages));
      ASSERT_TRUE(engine) << engine.error().message;
      auto session = (*engine)->new_session();
      ASSERT_TRUE(session);
      ASSERT_NO_FATAL_FAILURE(compare(**session, expected, fmt::format("{} slots, {}", slots, ubatch)));
    }
  }
}

// Passes as drafts and answers in company make them.
TEST_P(GpuExactness, EightSequencesSharePasses) {
  constexpr uint32_t kTalkers = 8;
  constexpr uint32_t kRows = 64;
  for (const uint32_t slots : {4U, 12U, kMostSlots}) {
    auto engine = open_engine(options(kRows, 1, enough_, kTalkers), with_slots(slots));
    ASSERT_TRUE(engine) << engine.error().message;
    LlamaPassModel model(**engine, kTalkers);
    Reference reference(path_, kTokens * kTalkers, kRows, 1, kTalkers);
    const auto vocabulary = static_cast<size_t>((*engine)->vocabulary().size());
    std::vector<uint32_t> position(kTalkers, 0);
    const auto pass = [&](const std::vector<std::pair<uint32_t, uint32_t>>& counts, bool prompt) {
      std::vector<PassToken> tokens;
      for (const auto& [sequence, count] : counts) {
        for (uint32_t i = 0; i < count; ++i) {
          const auto token = static_cast<int32_t>(300 + (sequence * 917 + position[sequence] * 131) % 4000);
          tokens.push_back({token, position[sequence]++, sequence, true});
        }
      }
      const auto all = static_cast<uint32_t>(tokens.size());
      const Status status = model.pass(tokens, prompt ? all : 0);
      ASSERT_TRUE(status) << status.error().message;
      ASSERT_TRUE(reference.decode(tokens));
      for (size_t i = 0; i < all; ++i) {
        ASSERT_EQ(std::memcmp(model.logits(i), llama_get_logits_ith(reference.context(), static_cast<int32_t>(i)),
                              vocabulary * sizeof(float)),
                  0)
            << slots << " slots, token " << i << " of " << all;
      }
    };
    for (uint32_t sequence = 0; sequence < kTalkers; ++sequence) {
      ASSERT_NO_FATAL_FAILURE(pass({{sequence, 5 + 7 * sequence}}, true));
    }
    for (int turn = 0; turn < 3; ++turn) {
      ASSERT_NO_FATAL_FAILURE(pass({{0, 1}, {1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}, {6, 1}, {7, 1}}, false));
      ASSERT_NO_FATAL_FAILURE(pass({{3, 5}, {5, 1}}, false));  // four drafted tokens
      ASSERT_NO_FATAL_FAILURE(pass({{2, 40}, {1, 1}, {6, 3}}, true));
    }
    const GpuExecutor* gpu = (*engine)->weights()->gpu();
    ASSERT_NE(gpu, nullptr);
    EXPECT_GT(gpu->stats().uploaded_bytes, 0U);
    EXPECT_EQ(gpu->stats().staged_layers == 0, slots >= experts_);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GpuExactness, testing::ValuesIn(expert_models()),
                         [](const auto& it) { return it.param.name; });

}  // namespace
}  // namespace hypura
