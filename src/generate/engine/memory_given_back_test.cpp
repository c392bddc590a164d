// The memory of an open model made less and more: nothing of what it says changes, in any mode, whenever that happens.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "generate/engine/model_cases_for_test.h"
#include "generate/engine/open_overridden.h"
#include "generate/engine/reference_for_test.h"
#include "llama/models_for_test.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

using testing::HasSubstr;

EngineOptions options_of(const std::filesystem::path& model, uint64_t memory) {
  EngineOptions options;
  options.model = model;
  options.memory = memory;
  options.context = 256;
  options.threads = 1;
  options.ubatch = options.outputs = 32;
  options.run_history = false;
  return options;
}

std::unique_ptr<Engine> open(const EngineOptions& options, const PlanOverrides& overrides = {}) {
  auto engine = open_overridden(options, overrides);
  EXPECT_TRUE(engine) << engine.error().message;
  return engine ? std::move(*engine) : nullptr;
}

uint64_t reserved(const Engine& engine) {
  uint64_t bytes = 0;
  for (const LedgerLine& line : engine.ledger()) {
    bytes += line.tier == Tier::kRam ? line.bytes : 0;
  }
  return bytes;
}

// A prompt in two passes, then single tokens.
std::vector<float> logits_of(Session& session, const std::function<void(size_t step)>& between = {}) {
  session.clear();
  std::vector<float> all;
  for (size_t step = 0; step < 6; ++step) {
    const auto some = session.evaluate(test_tokens(step == 0 ? 40 : 1));
    EXPECT_TRUE(some) << some.error().message;
    if (some) {
      all.insert(all.end(), some->begin(), some->end());
    }
    if (between) {
      between(step);
    }
  }
  return all;
}

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// What it says before anything is given back is what it says ever after, whether its size changes between passes or in
// the middle of one.
void expect_same_at_every_size(Engine& engine, const std::string& where) {
  const auto session = engine.new_session();
  ASSERT_TRUE(session);
  const std::vector<float> expected = logits_of(**session);
  const MemoryState opened = engine.memory();
  ASSERT_LT(opened.least, opened.opened) << where << ": " << opened.fixed;
  EXPECT_EQ(opened.limit, opened.opened);
  EXPECT_EQ(opened.sentence, "");
  const uint64_t half = (opened.least + opened.opened) / 2;
  const uint64_t sizes[] = {opened.least, half, opened.least, opened.opened, half, opened.opened};
  const auto to = [&](uint64_t bytes) {
    const Status status = engine.set_memory(bytes, "a test");
    ASSERT_TRUE(status) << where << ": " << status.error().message;
    EXPECT_LE(reserved(engine), bytes + engine.plan().process_overhead) << where;
  };
  EXPECT_TRUE(same(logits_of(**session, [&](size_t step) { to(sizes[step]); }), expected)) << where;
  for (const uint64_t bytes : {opened.least, half, opened.opened}) {
    to(bytes);
    EXPECT_TRUE(same(logits_of(**session), expected)) << where << " in " << format_bytes(bytes);
  }
  std::atomic<bool> done = false;
  std::thread changing([&] {
    for (size_t i = 0; !done; ++i) {
      EXPECT_TRUE(engine.set_memory(sizes[i % std::size(sizes)], "a test"));
    }
  });
  for (int turn = 0; turn < 2; ++turn) {
    EXPECT_TRUE(same(logits_of(**session), expected)) << where << ", changing meanwhile";
  }
  done = true;
  changing.join();
  const MemoryState after = engine.memory();
  EXPECT_GT(after.given_back_bytes, 0U);
  EXPECT_GT(after.shrunk, 2U);
  EXPECT_GT(after.grown, 2U);
}

TEST(MemoryGivenBack, ChangesNoLogitsOfAnyModelWithExperts) {
  const TempDir folder;
  for (const ModelCase& it : expert_models()) {
    if (it.name != "stories_moe" && it.name != "gpt_oss" && it.name != "fused") {
      continue;  // the others are of the same kinds
    }
    const auto file = model_file(it, folder.path());
    EngineOptions options = options_of(file, it.real.empty() ? 256 * kMiB : 30 * kMiB);
    options.resident = false;
    const auto engine = open(options);
    ASSERT_NE(engine, nullptr);
    EXPECT_TRUE(streams_experts(engine->plan().mode())) << it.name;
    expect_same_at_every_size(*engine, it.name);
  }
}

TEST(MemoryGivenBack, ChangesNoLogitsWhereDenseWeightsAreStreamed) {
  const auto dense = open(options_of(kModels / "hypura-stories-draft.gguf", 10 * kMiB));
  ASSERT_NE(dense, nullptr);
  EXPECT_EQ(dense->plan().mode(), Mode::kDenseStreaming);
  EXPECT_GT(dense->plan().pinned_bytes, 0U);
  expect_same_at_every_size(*dense, "dense, with a ring and pinned weights");

  EngineOptions all_pinned = options_of(kModels / "hypura-stories-draft.gguf", 80 * kMiB);
  PlanOverrides overrides;
  overrides.mode = Mode::kDenseStreaming;
  const auto pinned = open(all_pinned, overrides);
  ASSERT_NE(pinned, nullptr);
  EXPECT_EQ(pinned->plan().placement.dense.ring_bytes, 0U);
  expect_same_at_every_size(*pinned, "dense, everything pinned");

  overrides.mode = Mode::kMixedStreaming;
  overrides.row_cache = 64 * kKiB;
  const auto mixed = open(options_of(kModels / "hypura-stories-moe.gguf", 16 * kMiB), overrides);
  ASSERT_NE(mixed, nullptr);
  expect_same_at_every_size(*mixed, "experts, dense weights and rows of tables");
  EXPECT_GT(mixed->stats().table_rows, 0U);
}

TEST(MemoryGivenBack, ChangesNoLogitsBelowAGpu) {
  PlanOverrides overrides;
  overrides.mode = Mode::kExpertStreaming;
  overrides.gpu = GpuOverride{"CPU", 6};
  const auto engine =
      open(gpu_options(kModels / "hypura-stories-moe.gguf", "CPU", 30 * kMiB, 200 * kMiB, 256, 32), overrides);
  ASSERT_NE(engine, nullptr);
  ASSERT_TRUE(engine->plan().placement.gpu);
  expect_same_at_every_size(*engine, "below a GPU");
}

TEST(MemoryGivenBack, IsRefusedWithASentence) {
  const auto resident = open(options_of(kModels / "hypura-stories-moe.gguf", kGiB));
  ASSERT_NE(resident, nullptr);
  EXPECT_EQ(resident->memory().least, resident->memory().opened);
  Status status = resident->set_memory(500 * kMiB, "a test");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kBudget);
  EXPECT_THAT(status.error().message, HasSubstr("all of its weights are resident"));

  const auto engine = open(options_of(kModels / "hypura-stories-moe.gguf", 30 * kMiB));
  ASSERT_NE(engine, nullptr);
  status = engine->set_memory(kMiB, "a test");
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr(format_bytes(engine->memory().least)));
  EXPECT_EQ(engine->memory().shrunk, 0U);
  ASSERT_TRUE(engine->set_memory(kGiB, "a test")) << "it never has more than it was opened with";
  EXPECT_EQ(engine->memory().limit, 30 * kMiB);
  ASSERT_TRUE(engine->set_memory(engine->memory().least, "the test's wish"));
  EXPECT_THAT(engine->memory().sentence, HasSubstr("given back (the test's wish)"));
  EXPECT_LT(engine->memory().tokens_per_second, engine->plan().prediction.tokens_per_second);
  EXPECT_EQ(engine->stats().memory_limit, engine->memory().least);
  EXPECT_EQ(engine->stats().memory_shrunk, 1U);
}

// A read that fails afterwards ends that answer, and nothing else.
TEST(MemoryGivenBack, AFailedReadAfterItIsAnError) {
  const TempDir folder;
  const auto whole = kModels / "hypura-stories-moe.gguf";
  EngineOptions options = options_of(folder.path() / "cut.gguf", 30 * kMiB);
  std::filesystem::copy_file(whole, options.model);
  const auto engine = open(options);
  ASSERT_NE(engine, nullptr);
  const auto session = engine->new_session();
  const std::vector<float> expected = logits_of(**session);
  ASSERT_TRUE(engine->set_memory(engine->memory().least, "a test"));
  std::filesystem::resize_file(options.model, 20 * kMiB);
  (*session)->clear();
  const auto failed = (*session)->evaluate(test_tokens(40));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kIo);
  ASSERT_TRUE(engine->set_memory(30 * kMiB, "a test"));
  std::filesystem::copy_file(whole, options.model, std::filesystem::copy_options::overwrite_existing);
  EXPECT_TRUE(same(logits_of(**session), expected));
}

}  // namespace
}  // namespace hypura
