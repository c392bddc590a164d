// What llama.cpp's memory keeps of a sequence, and what of it can be gone on with.

#include "llama/llama_kv_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "llama.h"
#include "llama/batch.h"
#include "llama/llama_context.h"
#include "llama/llama_runtime.h"
#include "llama/models_for_test.h"
#include "make_model/make_model.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

constexpr uint32_t kPass = 64;

class LlamaKvMemoryTest : public testing::Test {
 protected:
  void open(const std::filesystem::path& model, bool whole_window) {
    ASSERT_TRUE(init_llama());
    model_.reset(llama_model_load_from_file(model.c_str(), llama_model_default_params()));
    ASSERT_NE(model_, nullptr);
    llama_context_params params = llama_context_default_params();
    params.n_ctx = 1024;
    params.n_batch = params.n_ubatch = kPass;
    params.n_seq_max = 2;
    params.kv_unified = true;
    params.swa_full = whole_window;
    params.n_threads = params.n_threads_batch = 1;
    context_.reset(llama_init_from_model(model_.get(), params));
    ASSERT_NE(context_, nullptr);
  }

  // Evaluates tokens of sequence 0, from position `from` to before `end`.
  void evaluate(uint32_t from, uint32_t end) {
    for (uint32_t first = from; first < end; first += kPass) {
      const uint32_t count = std::min(kPass, end - first);
      Batch batch(count);
      for (uint32_t position = first; position < first + count; ++position) {
        batch.add(static_cast<int32_t>(300 + position % 1000), position, 0, position + 1 == first + count);
      }
      EXPECT_TRUE(decode(*context_, batch));
    }
  }

  // A model some of whose layers look back 128 tokens.
  std::filesystem::path windowed() {
    ModelSpec spec;
    spec.arch = "gpt-oss";
    spec.type = "Q8_0";
    spec.output = folder_.path() / "windowed.gguf";
    const auto made = make_model(spec);
    EXPECT_TRUE(made) << made.error().message;
    return spec.output;
  }

  TempDir folder_;
  LlamaModelPtr model_;
  LlamaContextPtr context_;
};

TEST_F(LlamaKvMemoryTest, ASequenceIsCutAndCopied) {
  open(kModels / "hypura-stories-draft.gguf", true);
  LlamaKvMemory memory(*context_, 2);
  EXPECT_TRUE(memory.can_cut());
  EXPECT_EQ(memory.cut(0, 0), 0U);
  evaluate(0, 100);
  EXPECT_EQ(memory.copy(0, 1, 60), 60U);
  EXPECT_EQ(memory.cut(0, 80), 80U);
  EXPECT_EQ(memory.cut(0, 80), 80U) << "there is nothing more to forget";
  EXPECT_EQ(memory.cut(0, 90), 0U) << "more than there is";
  EXPECT_EQ(memory.cut(1, 60), 60U) << "a sequence of its own";
}

// Where only as much is kept as the layers look back, what is before that is overwritten as the text goes on.
TEST_F(LlamaKvMemoryTest, AWindowThatHasAHoleIsNotGoneOnWith) {
  open(windowed(), false);
  LlamaKvMemory memory(*context_, 2);
  evaluate(0, 900);
  EXPECT_GT(llama_memory_seq_pos_min(llama_get_memory(context_.get()), 0), 200) << "or nothing was overwritten";
  EXPECT_EQ(memory.copy(0, 1, 300), 0U);
  EXPECT_EQ(memory.cut(0, 899), 899U) << "a rejected draft is cut away";
  EXPECT_EQ(memory.cut(0, 300), 0U);
  EXPECT_LT(llama_memory_seq_pos_max(llama_get_memory(context_.get()), 0), 0) << "all of it is forgotten";
  evaluate(0, 100);
  EXPECT_EQ(memory.cut(0, 50), 50U) << "nothing was overwritten yet";
}

TEST_F(LlamaKvMemoryTest, AWholeWindowIsCutAnywhere) {
  open(windowed(), true);
  LlamaKvMemory memory(*context_, 2);
  evaluate(0, 900);
  EXPECT_EQ(memory.copy(0, 1, 300), 300U);
  EXPECT_EQ(memory.cut(0, 300), 300U);
}

}  // namespace
}  // namespace hypura
