// A model that a GPU computes, with slots for some of its experts, gives the logits of plain llama.cpp on the same
// device, bit for bit: for every kind of model with experts, few slots to all, prompts and single tokens, and passes of
// several sequences. ggml's CPU device stands for the GPU; HYPURA_TEST_GPU names another, and
// HYPURA_TEST_SECOND_GPU one of the same kind to share with it.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

#include "backend/gpu/gpu_executor.h"
#include "backend/gpu/separate_gpu_for_test.h"
#include "generate/engine/engine_impl.h"
#include "generate/engine/model_cases_for_test.h"
#include "generate/engine/open_overridden.h"
#include "generate/engine/reference_for_test.h"
#include "generate/scheduler/llama_pass_model.h"
#include "hypura/devices.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

constexpr uint32_t kPrompt = 512;
constexpr uint32_t kTokens = kPrompt + 64;  // of a context
constexpr uint32_t kMostSlots = 1000;       // more than there are experts

std::string test_gpu() {
  const char* named = std::getenv("HYPURA_TEST_GPU");
  return named != nullptr ? named : "CPU";
}

bool is_real_gpu() {
  return test_gpu() != "CPU";
}

// All of a reference on that device.
ReferenceGpu reference_gpu() {
  return is_real_gpu() ? ReferenceGpu{test_gpu(), 1000} : ReferenceGpu{};
}

class GpuExactness : public testing::TestWithParam<ModelCase> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(find_gpu(test_gpu()));  // loads its backend
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

  static PlanOverrides with_slots(uint32_t slots, bool stages = true, ReadAhead read_ahead = ReadAhead::kRouter,
                                  const std::string& gpu = test_gpu()) {
    PlanOverrides overrides;
    overrides.read_ahead = read_ahead;
    overrides.mode = Mode::kExpertStreaming;
    overrides.gpu = {gpu, slots, stages};
    return overrides;
  }

  // The least with which it opens with `slots` on the device, to 5 %: few slots in RAM.
  uint64_t least_memory(uint32_t ubatch, uint32_t slots = 4, const std::string& gpu = test_gpu()) const {
    uint64_t low = 0;
    uint64_t high = enough_;
    while (high - low > high / 20) {
      const uint64_t middle = low + (high - low) / 2;
      (open_overridden(options(ubatch, 1, middle), with_slots(slots, true, ReadAhead::kRouter, gpu)) ? high : low) =
          middle;
    }
    return high;
  }

  struct Slots {
    uint32_t on_device;
    bool few_in_ram;
    bool stages = true;
  };

  // Passes of `ubatch` tokens, with each of those slots.
  void expect_with(uint32_t ubatch, uint32_t threads, ReadAhead read_ahead, const std::vector<Slots>& all) const {
    Reference reference(path_, kTokens, ubatch, threads, 1, false, reference_gpu());
    const std::vector<Expected> expected = expect_all(reference, {1, 7, 64, kPrompt}, test_tokens(3));
    for (const auto& [slots, few_in_ram, stages] : all) {
      if (!stages && is_real_gpu()) {
        continue;  // CUDA's last bits depend on the number of slots then
      }
      const uint64_t memory = few_in_ram ? least_memory(ubatch, slots) * 21 / 20 : enough_;
      const std::string where = fmt::format("{} slots, {}", slots, ubatch);
      SCOPED_TRACE(where);
      auto engine = open_overridden(options(ubatch, threads, memory), with_slots(slots, stages, read_ahead));
      ASSERT_TRUE(engine) << engine.error().message;
      auto session = (*engine)->new_session();
      ASSERT_TRUE(session);
      ASSERT_NO_FATAL_FAILURE(expect_same_logits(**session, expected, where));
    }
  }

  TempDir folder_;
  std::filesystem::path path_;
  uint64_t enough_ = 0;
  uint32_t experts_ = 0;  // of a layer
};

TEST_P(GpuExactness, LogitsEqualThoseOfPlainLlama) {
  expect_with(64, 1, ReadAhead::kRouter, {{4, true}, {12, false}, {3, false, false}, {kMostSlots, true}});
}

TEST_P(GpuExactness, LongPassesGiveTheLogitsOfPlainLlamaOnTwoThreads) {
  expect_with(kPrompt, 2, ReadAhead::kNone, {{0, true}, {12, true}, {31, false}, {7, true, false}});
}

// Each of two GPUs computes some layers, from slots of its own over the same slots in RAM.
TEST_P(GpuExactness, TwoGpusSayWhatOneSays) {
  std::string both = fmt::format("{},{}", SeparateGpu::kName, SecondGpu::kName);
  if (const char* second = std::getenv("HYPURA_TEST_SECOND_GPU"); is_real_gpu() && second != nullptr) {
    both = fmt::format("{},{}", test_gpu(), second);
  } else if (is_real_gpu()) {
    GTEST_SKIP() << "HYPURA_TEST_SECOND_GPU names no second GPU";
  }
  SeparateGpu::add();
  SecondGpu::add();
  constexpr uint32_t kPass = 64;
  const uint64_t least = GetParam().real.empty() ? enough_ : least_memory(kPass, 4, both);
  Reference reference(path_, kTokens, kPass, 1, 1, false, reference_gpu());
  const std::vector<Expected> expected = expect_all(reference, {7, kPass}, test_tokens(2));
  for (const auto& [slots, stages] : {std::pair(4U, true), std::pair(3U, false), std::pair(kMostSlots, true)}) {
    if (!stages && is_real_gpu()) {
      continue;  // CUDA's last bits depend on the number of slots then
    }
    auto engine = open_overridden(options(kPass, 1, least), with_slots(slots, stages, ReadAhead::kRouter, both));
    ASSERT_TRUE(engine) << engine.error().message;
    EXPECT_EQ((*engine)->plan().device->shares.size(), 2U);
    auto session = (*engine)->new_session();
    ASSERT_TRUE(session);
    ASSERT_NO_FATAL_FAILURE(expect_same_logits(**session, expected, fmt::format("{} slots", slots)));
  }
}

// Over the CPU the processors' kernels are the device's.
TEST_P(GpuExactness, LogitsEqualThoseOfPlainLlamaWhereTheProcessorsComputeToo) {
  if (is_real_gpu()) {
    GTEST_SKIP() << "last bits differ";
  }
  Reference reference(path_, kTokens, 64, 1, 1, false, reference_gpu());
  const std::vector<Expected> expected = expect_all(reference, {1, 7, 64, 1, 1, 12}, test_tokens(3));
  EngineOptions mixed = options(64, 1, enough_);
  mixed.mixed_compute = true;
  for (const bool stages : {true, false}) {
    auto engine = open_overridden(mixed, with_slots(experts_ * 5 / 8, stages));
    ASSERT_TRUE(engine) << engine.error().message;
    auto session = (*engine)->new_session();
    ASSERT_TRUE(session);
    ASSERT_NO_FATAL_FAILURE(expect_same_logits(**session, expected, stages ? "staged" : "in waves"));
    EXPECT_GT((*engine)->stats().cpu_experts, 0U);
  }
}

constexpr uint32_t kTalkers = 8;
constexpr uint32_t kRows = 64;

struct SharedPass {
  std::vector<PassToken> tokens;
  bool prompt = false;
  std::vector<float> logits;
};

// Passes as drafts and answers in company make them, and what plain llama.cpp says of them.
std::vector<SharedPass> shared_passes(const std::filesystem::path& path) {
  std::vector<SharedPass> all;
  std::vector<uint32_t> position(kTalkers, 0);
  const auto pass = [&](const std::vector<std::pair<uint32_t, uint32_t>>& counts, bool prompt) {
    all.push_back({{}, prompt, {}});
    for (const auto& [sequence, count] : counts) {
      for (uint32_t i = 0; i < count; ++i) {
        const auto token = static_cast<int32_t>(300 + (sequence * 917 + position[sequence] * 131) % 4000);
        all.back().tokens.push_back({token, position[sequence]++, sequence, true});
      }
    }
  };
  for (uint32_t sequence = 0; sequence < kTalkers; ++sequence) {
    pass({{sequence, 5 + 7 * sequence}}, true);
  }
  for (int turn = 0; turn < 3; ++turn) {
    pass({{0, 1}, {1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}, {6, 1}, {7, 1}}, false);
    pass({{3, 5}, {5, 1}}, false);  // four drafted tokens
    pass({{2, 40}, {1, 1}, {6, 3}}, true);
  }
  Reference reference(path, kTokens * kTalkers, kRows, 1, kTalkers, false, reference_gpu());
  for (SharedPass& it : all) {
    EXPECT_TRUE(reference.decode(it.tokens));
    it.logits = reference.logits(it.tokens.size());
  }
  return all;
}

TEST_P(GpuExactness, EightSequencesSharePasses) {
  const std::vector<SharedPass> all = shared_passes(path_);
  for (const uint32_t slots : {4U, 12U, kMostSlots}) {
    PlanOverrides its = with_slots(slots);
    its.pool = kTokens * kTalkers;
    auto engine = open_engine(options(kRows, 1, enough_, kTalkers), its);
    ASSERT_TRUE(engine) << engine.error().message;
    LlamaPassModel model(**engine, kTalkers);
    const auto vocabulary = static_cast<size_t>((*engine)->vocabulary().size());
    for (const SharedPass& it : all) {
      const auto count = static_cast<uint32_t>(it.tokens.size());
      const Status status = model.pass(it.tokens, it.prompt ? count : 0);
      ASSERT_TRUE(status) << status.error().message;
      ASSERT_EQ(it.logits.size(), count * vocabulary);
      for (size_t i = 0; i < count; ++i) {
        ASSERT_EQ(std::memcmp(model.logits(i), &it.logits[i * vocabulary], vocabulary * sizeof(float)), 0)
            << slots << " slots, token " << i << " of " << count;
      }
    }
    const GpuExecutor* gpu = (*engine)->weights()->gpu();
    ASSERT_NE(gpu, nullptr);
    EXPECT_GT(gpu->stats().uploaded_bytes, 0U);
    EXPECT_EQ(gpu->stats().staged_layers == 0, slots >= experts_);
    EXPECT_GE(gpu->stats().prefetches, gpu->stats().prefetches_used);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GpuExactness, testing::ValuesIn(expert_models()),
                         [](const auto& it) { return it.param.name; });

}  // namespace
}  // namespace hypura
