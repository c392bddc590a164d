// What is saved of a context and loaded into another computes what it would have computed there, bit for bit: for the
// kinds of memory that llama.cpp has.

#include "llama/llama_kv_states.h"

#include <gguf.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <functional>
#include <ostream>
#include <string>

#include "llama.h"
#include "llama/batch.h"
#include "llama/llama_context.h"
#include "llama/llama_runtime.h"
#include "llama/models_for_test.h"
#include "make_model/make_model.h"
#include "make_model/zero_model.h"
#include "support/temp_dir_for_test.h"

namespace hypura {
namespace {

constexpr uint32_t kSpare = 2;
constexpr uint32_t kPassOfTest = 64;

// Some numbers in the place of all zeros; below 0 on average, so that recurrent states do not grow without end.
std::filesystem::path fill(const TempDir& folder, const std::string& bytes) {
  std::filesystem::path path = folder.write("zeros.gguf", bytes);
  gguf_context* header = gguf_init_from_file(path.c_str(), {true, nullptr});
  const size_t data = gguf_get_data_offset(header);
  gguf_free(header);
  std::string filled = bytes;
  uint32_t state = 1;
  for (size_t at = data; at + sizeof(float) <= filled.size(); at += sizeof(float)) {
    state = state * 1664525U + 1013904223U;
    const float number = 0.2F * static_cast<float>(state >> 8U) / 16777216.0F - 0.13F;
    std::memcpy(filled.data() + at, &number, sizeof(number));
  }
  return folder.write("filled.gguf", filled);
}

std::filesystem::path make(const TempDir& folder, const std::string& arch) {
  ModelSpec spec;
  spec.arch = arch;
  spec.type = "Q8_0";
  spec.output = folder.path() / "model.gguf";
  const auto made = make_model(spec);
  EXPECT_TRUE(made) << made.error().message;
  return spec.output;
}

// Keys and values in one row of a low rank.
std::filesystem::path make_mla(const TempDir& folder) {
  constexpr int64_t width = ZeroModel::kWidth;
  ZeroModel model("deepseek2");
  model.number("embedding_length", width).number("feed_forward_length", 128).number("leading_dense_block_count", 2);
  model.number("attention.head_count", 2).number("attention.head_count_kv", 1).number("rope.dimension_count", 32);
  model.number("attention.q_lora_rank", 32).number("attention.kv_lora_rank", 64);
  model.number("attention.key_length", 96).number("attention.value_length", 64);
  model.number("attention.key_length_mla", 64).number("attention.value_length_mla", 32);
  model.number("expert_feed_forward_length", 32).number("expert_shared_count", 1);
  model.tensor("token_embd.weight", {width, ZeroModel::kWords}).tensor("output_norm.weight", {width});
  model.layer_tensor("attn_norm.weight", {width}).layer_tensor("ffn_norm.weight", {width});
  model.layer_tensor("attn_q_a.weight", {width, 32}).layer_tensor("attn_q_a_norm.weight", {32});
  model.layer_tensor("attn_q_b.weight", {32, 128}).layer_tensor("attn_kv_a_mqa.weight", {width, 96});
  model.layer_tensor("attn_kv_a_norm.weight", {64}).layer_tensor("attn_k_b.weight", {32, 64, 2});
  model.layer_tensor("attn_v_b.weight", {64, 32, 2}).layer_tensor("attn_output.weight", {64, width});
  model.layer_tensor("ffn_gate.weight", {width, 128}).layer_tensor("ffn_up.weight", {width, 128});
  model.layer_tensor("ffn_down.weight", {128, width});
  return fill(folder, model.bytes());
}

// A layer with a state, and one with keys and values.
std::filesystem::path make_hybrid(const TempDir& folder) {
  constexpr int64_t width = ZeroModel::kWidth;
  ZeroModel model("lfm2");
  model.number("embedding_length", width).number("feed_forward_length", 128).number("attention.head_count", 2);
  model.number("shortconv.l_cache", 3);
  model.tensor("token_embd.weight", {width, ZeroModel::kWords}).tensor("token_embd_norm.weight", {width});
  model.layer_tensor("attn_norm.weight", {width}).layer_tensor("ffn_norm.weight", {width});
  model.tensor("blk.0.shortconv.conv.weight", {3, width}).tensor("blk.0.shortconv.in_proj.weight", {width, 3 * width});
  model.tensor("blk.0.shortconv.out_proj.weight", {width, width});
  model.tensor("blk.1.attn_q_norm.weight", {32}).tensor("blk.1.attn_k_norm.weight", {32});
  for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output"}) {
    model.tensor("blk.1." + std::string(name) + ".weight", {width, width});
  }
  model.layer_tensor("ffn_gate.weight", {width, 128}).layer_tensor("ffn_up.weight", {width, 128});
  model.layer_tensor("ffn_down.weight", {128, width});
  return fill(folder, model.bytes([](gguf_context* header) {
    const uint32_t heads[] = {0, 2};
    gguf_set_arr_data(header, "lfm2.attention.head_count_kv", GGUF_TYPE_UINT32, heads, 2);
  }));
}

struct MemoryKind {
  std::string name;
  std::function<std::filesystem::path(const TempDir&)> make;
  KvStates::Parts parts = KvStates::Parts::kAny;
};

void PrintTo(const MemoryKind& it, std::ostream* out) {
  *out << it.name;
}

class KvStatesTest : public testing::TestWithParam<MemoryKind> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(init_llama());
    model_.reset(llama_model_load_from_file(GetParam().make(folder_).c_str(), llama_model_default_params()));
    ASSERT_NE(model_, nullptr);
  }

  LlamaContextPtr open(ggml_type type) const {
    llama_context_params params = llama_context_default_params();
    params.n_ctx = 1024;
    params.n_batch = params.n_ubatch = kPassOfTest;
    params.n_seq_max = kSpare + 1;
    params.kv_unified = true;
    params.n_threads = params.n_threads_batch = 1;
    params.type_k = params.type_v = type;
    return LlamaContextPtr(llama_init_from_model(model_.get(), params));
  }

  // The logits after each of the sequence's tokens `from` to before `end`.
  std::vector<float> evaluate(llama_context& context, uint32_t from, uint32_t end, uint32_t sequence = 0) const {
    const auto width = static_cast<size_t>(llama_vocab_n_tokens(llama_model_get_vocab(model_.get())));
    std::vector<float> logits;
    for (uint32_t first = from; first < end; first += kPassOfTest) {
      const uint32_t count = std::min(kPassOfTest, end - first);
      Batch batch(count);
      for (uint32_t position = first; position < first + count; ++position) {
        const auto token = static_cast<int32_t>((3 + position * 37 + sequence * 11) % 250);
        batch.add(token, position, sequence, true);
      }
      EXPECT_TRUE(decode(context, batch));
      for (uint32_t row = 0; row < count; ++row) {
        const float* its = llama_get_logits_ith(&context, static_cast<int32_t>(row));
        logits.insert(logits.end(), its, its + width);
      }
    }
    return logits;
  }

  TempDir folder_;
  LlamaModelPtr model_;
};

TEST_P(KvStatesTest, WhatIsLoadedComputesWhatWouldHaveBeen) {
  for (const ggml_type type : {GGML_TYPE_F16, GGML_TYPE_Q8_0}) {
    const LlamaContextPtr first = open(type);
    const LlamaContextPtr second = open(type);
    ASSERT_NE(first, nullptr);
    LlamaKvStates saving(*first, kSpare);
    LlamaKvStates loading(*second, kSpare);
    ASSERT_EQ(saving.parts(), GetParam().parts);
    for (const uint32_t end : {256U, 512U}) {
      evaluate(*first, end - 256, end);
      const std::vector<uint8_t> state = saving.save(0, end - 256, end);
      ASSERT_FALSE(state.empty());
      ASSERT_TRUE(loading.load(0, end - 256, end, state));
    }
    const std::vector<float> expected = evaluate(*first, 512, 600);
    const std::vector<float> actual = evaluate(*second, 512, 600);
    ASSERT_EQ(actual.size(), expected.size());
    EXPECT_EQ(std::memcmp(actual.data(), expected.data(), expected.size() * sizeof(float)), 0) << ggml_type_name(type);
    EXPECT_NE(expected.front(), expected.back()) << "or nothing was computed";
    if (GetParam().parts == KvStates::Parts::kAny) {
      EXPECT_EQ(loading.save(0, 256, 512), saving.save(0, 256, 512));
    }
  }
}

TEST_P(KvStatesTest, OtherSequencesStayAsTheyAre) {
  const LlamaContextPtr context = open(GGML_TYPE_F16);
  LlamaKvStates states(*context, kSpare);
  evaluate(*context, 0, 256);
  const std::vector<uint8_t> state = states.save(0, 0, 256);
  llama_memory_seq_rm(llama_get_memory(context.get()), 0, -1, -1);
  evaluate(*context, 0, 256, 1);
  const std::vector<uint8_t> other = states.save(1, 0, 256);
  EXPECT_NE(other, state);
  ASSERT_TRUE(states.load(0, 0, 256, state));
  EXPECT_EQ(states.save(0, 0, 256).size(), state.size());
  EXPECT_EQ(states.save(1, 0, 256), other);
  EXPECT_LT(llama_memory_seq_pos_max(llama_get_memory(context.get()), kSpare), 0) << "the spare one is empty";
}

TEST_P(KvStatesTest, WhatIsNotAllThereIsNotLoaded) {
  const LlamaContextPtr context = open(GGML_TYPE_F16);
  LlamaKvStates states(*context, kSpare);
  evaluate(*context, 0, 256);
  const std::vector<uint8_t> state = states.save(0, 0, 256);
  EXPECT_FALSE(states.load(1, 0, 256, std::span(state).first(state.size() / 2)));
  EXPECT_FALSE(states.load(1, 0, 512, state)) << "another number of tokens";
  if (GetParam().parts == KvStates::Parts::kAny) {
    EXPECT_FALSE(states.load(1, 256, 512, state)) << "other places";
    EXPECT_TRUE(states.save(0, 256, 512).empty()) << "tokens that it does not hold";
  }
  EXPECT_TRUE(states.load(1, 0, 256, state));
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, KvStatesTest,
    testing::Values(MemoryKind{"attention", [](const TempDir&) { return kModels / "hypura-stories-draft.gguf"; }},
                    MemoryKind{"windows", [](const TempDir& folder) { return make(folder, "gpt-oss"); }},
                    MemoryKind{"shared_windows", [](const TempDir& folder) { return make(folder, "gemma4"); }},
                    MemoryKind{"low_rank", make_mla},
                    MemoryKind{"recurrent", [](const TempDir& folder) { return fill(folder, zero_mamba().bytes()); },
                               KvStates::Parts::kLast},
                    MemoryKind{"hybrid", make_hybrid, KvStates::Parts::kLast}),
    [](const testing::TestParamInfo<MemoryKind>& it) { return it.param.name; });

}  // namespace
}  // namespace hypura
