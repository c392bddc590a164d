#include "llama/batch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "llama/llama_runtime.h"
#include "llama/logits.h"
#include "llama/models_for_test.h"
#include "llama/open/make_llama.h"
#include "llama/vocabulary.h"

namespace hypura {
namespace {

constexpr uint32_t kCells = 256;  // llama.cpp rounds up to these

class BatchTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(init_llama());
    const auto file = open_model(kModels / "hypura-stories-draft.gguf");
    ASSERT_TRUE(file) << file.error().message;
    auto model = make_llama_model(*file);
    ASSERT_TRUE(model) << model.error().message;
    model_ = std::move(*model);
    context_ = make_llama_context(*model_, {.cells = kCells, .sequences = 2, .pass = kCells, .outputs = 4});
    ASSERT_NE(context_, nullptr) << take_llama_error();
  }

  std::vector<float> logits(size_t row) {
    const auto all = logits_at(*context_, row);
    return {all.begin(), all.end()};
  }

  LlamaModelPtr model_;
  LlamaContextPtr context_;
};

TEST_F(BatchTest, HoldsItsRowsUntilItIsCleared) {
  Batch batch(4);
  batch.add(7, 0, 1, false);
  batch.add(9, 5, 0, true);
  ASSERT_EQ(batch.size(), 2U);
  EXPECT_EQ(batch.token(1), 9);
  EXPECT_EQ(batch.position(1), 5U);
  EXPECT_EQ(batch.sequence(0), 1U);
  batch.clear();
  EXPECT_EQ(batch.size(), 0U);
}

TEST_F(BatchTest, APassGivesLogitsOfTheRowsThatWantThem) {
  Batch batch(4);
  batch.add(300, 0, 0, true);
  batch.add(301, 1, 0, true);
  batch.add(300, 0, 1, true);
  ASSERT_TRUE(decode(*context_, batch));
  const auto first = logits(0);
  EXPECT_EQ(first.size(), static_cast<size_t>(Vocabulary(*model_).size()));
  EXPECT_TRUE(check_logits(first));
  EXPECT_NE(first, logits(1));
  EXPECT_EQ(first, logits(2)) << "sequences do not see each other";
  batch.clear();
  batch.add(302, 2, 0, true);
  batch.want_none();
  batch.add(303, 3, 0, true);
  ASSERT_TRUE(decode(*context_, batch));
  EXPECT_EQ(logits(1).size(), first.size());
}

TEST_F(BatchTest, WhatIsForgottenOrTakenOverCountsInTheNextPass) {
  Batch batch(4);
  batch.add(300, 0, 0, false);
  batch.add(301, 1, 0, true);
  ASSERT_TRUE(decode(*context_, batch));
  const auto expected = logits(1);
  batch.clear();
  batch.add(999, 2, 0, false);
  ASSERT_TRUE(decode(*context_, batch));
  copy_beginning(*context_, 0, 1, 1);
  forget_tokens(*context_, 0, 1);
  for (const uint32_t sequence : {0U, 1U}) {
    batch.clear();
    batch.add(301, 1, sequence, true);
    ASSERT_TRUE(decode(*context_, batch));
    const auto again = logits(0);
    EXPECT_EQ(likeliest(again), likeliest(expected)) << sequence;
    EXPECT_NEAR(*std::max_element(again.begin(), again.end()), *std::max_element(expected.begin(), expected.end()),
                1e-3);
  }
}

TEST_F(BatchTest, AFullContextIsSaid) {
  Batch batch(kCells);
  for (uint32_t i = 0; i < kCells; ++i) {
    batch.add(300, i, 0, false);
  }
  ASSERT_TRUE(decode(*context_, batch));
  batch.clear();
  batch.add(300, 0, 1, true);
  const Status status = decode(*context_, batch);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kContextFull);
  EXPECT_EQ(status.error().message, "the context of 256 tokens is full");
}

TEST_F(BatchTest, EmbeddingsComeWhenTheyAreWanted) {
  Batch batch(1);
  batch.add(300, 0, 0, true);
  give_embeddings(*context_, true);
  ASSERT_TRUE(decode(*context_, batch));
  const float* row = embedding_at(*context_, 0);
  ASSERT_NE(row, nullptr);
  EXPECT_TRUE(std::any_of(row, row + embedding_width(*model_), [](float it) { return it != 0; }));
}

}  // namespace
}  // namespace hypura
