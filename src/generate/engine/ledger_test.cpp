// What an open model has reserved is what its plan says, and no more than its budget.

#include <gtest/gtest.h>

#include <initializer_list>

#include "generate/engine/open_overridden.h"
#include "hypura/engine.h"
#include "llama/models_for_test.h"
#include "support/units.h"

namespace hypura {
namespace {

uint64_t bytes_for(const std::vector<LedgerLine>& ledger, std::initializer_list<Purpose> purposes) {
  uint64_t bytes = 0;
  for (const LedgerLine& line : ledger) {
    for (const Purpose purpose : purposes) {
      bytes += line.purpose == purpose ? line.bytes : 0;
    }
  }
  return bytes;
}

uint64_t sum_of_all(const std::vector<LedgerLine>& ledger) {
  uint64_t bytes = 0;
  for (const LedgerLine& line : ledger) {
    bytes += line.bytes;
  }
  return bytes;
}

void expect_as_planned(const EngineOptions& options, Mode mode) {
  PlanOverrides overrides;
  overrides.mode = mode;  // which of several that fit is the fastest is the machine's speed in this minute
  const auto engine = open_overridden(options, overrides);
  ASSERT_TRUE(engine) << engine.error().message;
  const Plan& plan = (*engine)->plan();
  const std::vector<LedgerLine> reserved = (*engine)->ledger();
  const auto same = [&](std::initializer_list<Purpose> purposes) {
    EXPECT_EQ(bytes_for(reserved, purposes), bytes_for(plan.ledger, purposes))
        << to_string(*purposes.begin()) << ", " << to_string(mode);
  };
  same({Purpose::kPinnedWeights});
  same({Purpose::kRing});
  same({Purpose::kTableRows});
  same({Purpose::kExpertSlots});
  same({Purpose::kExpertBuffers, Purpose::kRepackBuffer});
  same({Purpose::kKvCache});
  same({Purpose::kComputeBuffers});
  same({Purpose::kVocabulary});
  same({Purpose::kDraftModel});
  EXPECT_EQ(bytes_for(reserved, {Purpose::kStaging}), 0U) << "it is gone once the model is loaded";
  // Tensors are aligned, and direct reads want padding around them.
  const auto weights = {Purpose::kWeights, Purpose::kUnusedWeights, Purpose::kResidentWeights};
  EXPECT_GE(bytes_for(reserved, weights) + 64 * kKiB, bytes_for(plan.ledger, weights)) << to_string(mode);
  EXPECT_LE(bytes_for(reserved, weights), bytes_for(plan.ledger, weights) + 2 * kMiB) << to_string(mode);
  EXPECT_LE(sum_of_all(reserved), plan.budget + plan.process_overhead) << to_string(mode);
  EXPECT_LE(plan.budget, *options.memory);
}

EngineOptions options_of(const char* model, uint64_t memory) {
  EngineOptions options;
  options.model = kModels / model;
  options.memory = memory;
  options.context = 256;
  options.threads = 1;
  options.run_history = false;
  return options;
}

TEST(Ledger, WhatIsReservedIsWhatWasPlanned) {
  expect_as_planned(options_of("hypura-stories-moe.gguf", kGiB), Mode::kResident);
  expect_as_planned(options_of("hypura-stories-moe.gguf", 24 * kMiB), Mode::kExpertStreaming);
  expect_as_planned(options_of("hypura-stories-moe.gguf", 12 * kMiB), Mode::kMixedStreaming);
  expect_as_planned(options_of("hypura-stories-draft.gguf", 8 * kMiB), Mode::kDenseStreaming);
}

TEST(Ledger, ADraftModelIsInIt) {
  EngineOptions options = options_of("hypura-stories-moe.gguf", 128 * kMiB);
  options.draft.model = kModels / "hypura-stories-draft.gguf";
  PlanOverrides overrides;
  overrides.keep_draft_model = true;
  const auto engine = open_overridden(options, overrides);
  ASSERT_TRUE(engine) << engine.error().message;
  EXPECT_GT(bytes_for((*engine)->ledger(), {Purpose::kDraftModel}), 4 * kMiB);
  EXPECT_EQ(bytes_for((*engine)->ledger(), {Purpose::kDraftModel}),
            bytes_for((*engine)->plan().ledger, {Purpose::kDraftModel}));
  EXPECT_LE(sum_of_all((*engine)->ledger()), 128 * kMiB + (*engine)->plan().process_overhead);
}

}  // namespace
}  // namespace hypura
