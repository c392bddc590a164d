// The search for plain llama.cpp's best division under a cap, and the sizes that it is made by: over a GPU for which
// the processors compute.
#include "bench/run/plain_splits.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "backend/gpu/separate_gpu_for_test.h"
#include "bench/run/bench_engine.h"
#include "llama/llama_runtime.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {
namespace {

// Of a model of 24 layers, each 10 large, of which 8 are experts; the output takes 5.
uint64_t size_of(const PlainSplit& split) {
  const uint32_t layers = split.gpu_layers < 0 ? 24 : std::max(split.gpu_layers, 1) - 1;
  return 10 * layers - 8 * split.cpu_expert_layers + (split.gpu_layers == 0 ? 0 : 5);
}

std::vector<std::string> flags_under(uint64_t cap, bool experts = true) {
  int asked = 0;
  const auto splits = best_splits(24, experts, [&](const PlainSplit& split) -> Result<bool> {
    ++asked;
    return size_of(split) <= cap;
  });
  EXPECT_LE(asked, 11);
  std::vector<std::string> flags;
  for (const PlainSplit& it : splits.value_or(std::vector<PlainSplit>())) {
    flags.push_back(it.flags);
  }
  return flags;
}

TEST(PlainSplits, AreTheLargestThatFit) {
  using Flags = std::vector<std::string>;
  EXPECT_EQ(flags_under(245), Flags({"all in VRAM"}));
  EXPECT_EQ(flags_under(244), Flags({"-ngl 24", "--cpu-moe", "--n-cpu-moe 1"}));
  EXPECT_EQ(flags_under(149), Flags({"-ngl 15", "--cpu-moe", "--n-cpu-moe 12"}));
  EXPECT_EQ(flags_under(53), Flags({"-ngl 5", "--cpu-moe"}));
  EXPECT_EQ(flags_under(52), Flags({"-ngl 5"}));
  EXPECT_EQ(flags_under(4), Flags({"-ngl 0"}));
  EXPECT_EQ(flags_under(149, false), Flags({"-ngl 15"}));
}

TEST(PlainSplits, MayNotFitAtAll) {
  const auto none = best_splits(24, true, [](const PlainSplit&) -> Result<bool> { return false; });
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->empty());
}

TEST(PlainSplits, FailAsTheirSizesDo) {
  const auto failed = best_splits(24, true, [](const PlainSplit& split) -> Result<bool> {
    return split.cpu_expert_layers == 0 ? Result<bool>(false) : fail(ErrorCode::kBudget, "no context");
  });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message, "no context");
}

class SplitsOnGpu : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(init_llama());
    SeparateGpu::add();
    spec_.engine = "hypura";
    spec_.model = HYPURA_SOURCE_DIR "/models/hypura-stories-moe.gguf";
    spec_.gpu = SeparateGpu::kName;
    spec_.repack = false;
    spec_.context = 256;
    spec_.prompt_tokens = 20;
    spec_.warmup_tokens = 2;
    spec_.tokens = 4;
  }

  std::vector<uint64_t> bytes_of(const PlainSplits& splits, const PlainSplit& split) const {
    return PlainLlama::device_bytes(plain_options(split_spec(spec_, splits, split))).value_or(std::vector<uint64_t>());
  }

  RunSpec spec_;
};

// The largest of each kind: with one layer, or one layer's experts, more it would not.
TEST_F(SplitsOnGpu, KeepTheCapOfThePlan) {
  spec_.vram = 20 * kMiB;
  const auto found = find_plain_splits(spec_);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->gpu, SeparateGpu::kName);
  EXPECT_EQ(found->vram, std::vector<uint64_t>{20 * kMiB});
  ASSERT_EQ(found->splits.size(), 3U);
  for (PlainSplit it : found->splits) {
    EXPECT_LE(bytes_of(*found, it), found->vram) << it.flags;
    EXPECT_GT(bytes_of(*found, it).front(), found->vram.front() / 4) << it.flags;
    if (it.flags != "--cpu-moe") {
      it.gpu_layers += it.gpu_layers >= 0 ? 1 : 0;
      it.cpu_expert_layers -= it.gpu_layers >= 0 ? 0 : 1;
      EXPECT_GT(bytes_of(*found, it), found->vram) << it.flags;
    }
  }
}

TEST_F(SplitsOnGpu, MayBeOverSeveral) {
  SecondGpu::add();
  spec_.gpu = fmt::format("{},{}", SeparateGpu::kName, SecondGpu::kName);
  spec_.vram = 16 * kMiB;
  const auto found = find_plain_splits(spec_);
  ASSERT_TRUE(found) << found.error().message;
  ASSERT_EQ(found->vram.size(), 2U);
  ASSERT_FALSE(found->splits.empty());
  for (const PlainSplit& it : found->splits) {
    const std::vector<uint64_t> bytes = bytes_of(*found, it);
    ASSERT_EQ(bytes.size(), 2U);
    EXPECT_LE(bytes[0], found->vram[0]) << it.flags;
    EXPECT_LE(bytes[1], found->vram[1]) << it.flags;
    EXPECT_GT(bytes[1], 0U) << it.flags;
  }
  const auto engine = make_plain_engine();
  const Status opened = engine->open(split_spec(spec_, *found, found->splits.front()));
  EXPECT_TRUE(opened) << opened.error().message;
}

// What llama.cpp then allocates is what was told: its buffers have that many bytes, and it computes with them.
TEST_F(SplitsOnGpu, AreRunAndGiveTheSameText) {
  spec_.vram = 20 * kMiB;
  const auto found = find_plain_splits(spec_);
  ASSERT_TRUE(found) << found.error().message;
  spec_.gpu = "none";
  std::vector<int32_t> expected;
  for (const PlainSplit& it : found->splits) {
    const auto engine = make_plain_engine();
    ASSERT_TRUE(engine->open(split_spec(spec_, *found, it)));
    std::vector<int32_t> tokens = {engine->prompt("Once upon a time there was a fox.").value()};
    for (int i = 0; i < 3; ++i) {
      tokens.push_back(engine->next(tokens.back()).value());
    }
    expected = expected.empty() ? tokens : expected;
    EXPECT_EQ(tokens, expected) << it.flags;
  }
}

TEST_F(SplitsOnGpu, AreNoneWhereThePlanUsesNoGpu) {
  spec_.gpu = "none";
  const auto found = find_plain_splits(spec_);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_TRUE(found->gpu.empty());
  EXPECT_TRUE(found->splits.empty());
}

TEST_F(SplitsOnGpu, FailAsThePlan) {
  spec_.vram = kMiB;
  const auto found = find_plain_splits(spec_);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::kBudget);
}

}  // namespace
}  // namespace hypura
