#include "backend/stream_layout.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <regex>
#include <tuple>

namespace hypura {
namespace {

Model demo() {
  return std::move(*open_model(std::filesystem::path(HYPURA_SOURCE_DIR) / "models" / "hypura-stories-moe.gguf"));
}

TEST(StreamLayout, ExpertsOfALayerAreOneSliceEach) {
  const Model model = demo();
  const StreamLayout layout = lay_out(model, true, false);
  ASSERT_EQ(layout.expert_layers.size(), 6U);
  EXPECT_EQ(layout.experts, 32U);
  for (const ExpertLayer& layer : layout.expert_layers) {
    ASSERT_EQ(layer.parts.size(), 3U);
    for (const ExpertPart& part : layer.parts) {
      EXPECT_EQ(part.slice_bytes, 256U * 512U * 18U / 32U);
    }
    EXPECT_EQ(layer.expert_bytes(), 3U * 256U * 512U * 18U / 32U);
  }
  EXPECT_TRUE(layout.dense.empty());
  EXPECT_EQ(layout.resident_bytes + layout.expert_bytes, model.bytes);
}

TEST(StreamLayout, ThePatternMatchesWhatIsStreamedAndNothingElse) {
  const Model model = demo();
  for (const auto& [experts, dense] : {std::pair(true, false), std::pair(false, true), std::pair(true, true)}) {
    const StreamLayout layout = lay_out(model, experts, dense);
    const std::regex pattern(layout.pattern);
    size_t streamed = 0;
    for (const TensorInfo& tensor : model.tensors) {
      EXPECT_EQ(std::regex_search(tensor.name, pattern), layout.streams(tensor)) << tensor.name;
      streamed += layout.streams(tensor) ? 1 : 0;
    }
    EXPECT_GT(streamed, 0U);
  }
}

// What the first layers stream is then the beginning of what all do.
TEST(StreamLayout, FirstLayersCanStreamAsAllDo) {
  const Model model = demo();
  const StreamLayout all = lay_out(model, true, true);
  const StreamLayout some = lay_out(model, true, true, false, {2, 6, false, true});
  ASSERT_GT(some.dense.size(), 0U);
  ASSERT_LT(some.dense.size(), all.dense.size());
  for (size_t i = 0; i < some.dense.size(); ++i) {
    EXPECT_EQ(some.dense[i].tensor, all.dense[i].tensor);
  }
  EXPECT_GE(all.dense[some.dense.size()].tensor->layer, 2);
  EXPECT_EQ(some.expert_layers.size(), all.expert_layers.size());
  const std::regex pattern(some.pattern);
  for (const TensorInfo& tensor : model.tensors) {
    EXPECT_EQ(std::regex_search(tensor.name, pattern), some.streams(tensor)) << tensor.name;
  }
}

TEST(StreamLayout, LaterLayersCanBeLeftOut) {
  const Model model = demo();  // of six layers
  const StreamLayout all = lay_out(model, true, true);
  for (const auto& [dense_end, expert_end, output] :
       {std::tuple(3, 3, false), std::tuple(3, 6, false), std::tuple(6, 6, false), std::tuple(0, 2, true),
        std::tuple(5, 0, true)}) {
    const StreamLayout some = lay_out(model, true, true, false, {dense_end, expert_end, output});
    const std::regex pattern(some.pattern);
    for (const TensorInfo& tensor : model.tensors) {
      const bool expert = tensor.role == TensorRole::kRoutedExpert;
      const bool within = tensor.layer < 0 ? output : tensor.layer < (expert ? expert_end : dense_end);
      EXPECT_EQ(some.streams(tensor), within && all.streams(tensor)) << tensor.name;
      EXPECT_EQ(std::regex_search(tensor.name, pattern), some.streams(tensor)) << tensor.name;
    }
    EXPECT_EQ(some.expert_layers.size(), static_cast<size_t>(expert_end));
    EXPECT_EQ(some.resident_bytes + some.expert_bytes + some.dense_bytes, model.bytes);
  }
}

TensorInfo named(const std::string& name, TensorRole role, int64_t rows, uint64_t offset) {
  TensorInfo tensor;
  tensor.name = name;
  tensor.role = role;
  tensor.shape = {256, rows, 1, 1};
  tensor.extent = {0, offset, static_cast<uint64_t>(rows) * 1024};  // F32
  return tensor;
}

// With an output matrix or without, and with a table for layers.
Model with_tables(bool output, bool per_layer) {
  Model model;
  model.vocabulary = 32000;
  model.layers = 1;
  model.tensors.push_back(named("token_embd.weight", TensorRole::kEmbedding, 32000, 0));
  model.tensors.push_back(named("blk.0.attn_q.weight", TensorRole::kAttention, 512, 40000000));
  model.tensors.back().layer = 0;
  model.tensors.push_back(named("output_norm.weight", TensorRole::kNorm, 1, 41000000));
  if (output) {
    model.tensors.push_back(named("output.weight", TensorRole::kOutput, 32000, 42000000));
  }
  if (per_layer) {
    model.tensors.push_back(named("per_layer_token_embd.weight", TensorRole::kEmbedding, 1000000, 82000000));
  }
  for (const TensorInfo& tensor : model.tensors) {
    model.bytes += tensor.extent.length;
  }
  return model;
}

TEST(StreamLayout, TablesAreThoseThatRowsAreLookedUpIn) {
  for (const auto& [output, per_layer] : {std::pair(true, false), std::pair(true, true), std::pair(false, true)}) {
    const Model model = with_tables(output, per_layer);
    const StreamLayout layout = lay_out(model, true, true, false, {}, 4000000, {true, true, {}});
    ASSERT_EQ(layout.tables.size(), per_layer ? 2U : 1U);
    EXPECT_EQ(layout.tables[0].tensor, model.tensors.data());
    EXPECT_EQ(layout.tables[0].is_output, !output);
    EXPECT_TRUE(layout.tables[0].by_token);
    if (per_layer) {
      EXPECT_FALSE(layout.tables[1].is_output);
      EXPECT_FALSE(layout.tables[1].by_token) << "a million rows are not the tokens'";
      EXPECT_EQ(layout.tables[1].slots, 8192U) << "8 MiB";
    }
    EXPECT_EQ(layout.resident_bytes + layout.expert_bytes + layout.dense_bytes + layout.table_bytes, model.bytes);
    // What is multiplied by last moves in ranges, whichever tensor that is.
    EXPECT_EQ(layout.dense.back().tensor->name, output ? "output.weight" : "token_embd.weight");
    EXPECT_EQ(layout.dense.size(), 1U + 9U);
    const std::regex pattern(layout.pattern);
    for (const TensorInfo& tensor : model.tensors) {
      EXPECT_EQ(std::regex_search(tensor.name, pattern), layout.streams(tensor)) << tensor.name;
      EXPECT_EQ(layout.streams(tensor), tensor.role != TensorRole::kNorm) << tensor.name;
    }
    const StreamLayout without = lay_out(model, true, true);
    EXPECT_TRUE(without.tables.empty());
    EXPECT_FALSE(without.streams(model.tensors.front()));
    const StreamLayout cached = lay_out(model, false, false, false, {}, kWholeMatrix, {true, true, 10240});
    EXPECT_EQ(cached.tables.size(), (output ? 1U : 0U) + (per_layer ? 1U : 0U)) << "an output stays with dense weights";
    EXPECT_EQ(cached.tables.back().slots, 10U);
  }
}

// Latent attention has a matrix for each head in one tensor, which moves as one, however large.
TEST(StreamLayout, MatricesOfHeadsStayTogether) {
  Model model;
  model.layers = 1;
  for (const char* name : {"blk.0.attn_output.weight", "blk.0.attn_v_b.weight", "blk.0.attn_k_b.weight"}) {
    TensorInfo tensor = named(name, TensorRole::kAttention, 512, model.bytes);
    tensor.layer = 0;
    tensor.shape[2] = model.bytes == 0 ? 1 : 16;
    tensor.extent.length *= static_cast<uint64_t>(tensor.shape[2]);
    model.bytes += tensor.extent.length;
    model.tensors.push_back(tensor);
  }
  const StreamLayout layout = lay_out(model, true, true, false, {}, 512 * 1024 / 4);
  ASSERT_EQ(layout.dense.size(), 6U) << "one is cut into four";
  EXPECT_EQ(layout.dense[0].tensor->name, "blk.0.attn_k_b.weight");
  EXPECT_EQ(layout.dense[1].tensor->name, "blk.0.attn_v_b.weight");
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(layout.dense[i].rows.rows, 512);
    EXPECT_EQ(layout.dense[i].extent.offset, layout.dense[i].tensor->extent.offset);
    EXPECT_EQ(layout.dense[i].extent.length, 16U * 512 * 1024);
  }
  EXPECT_EQ(layout.resident_bytes, 0U);
}

TEST(StreamLayout, DenseItemsComeInTheOrderOfUse) {
  const Model model = demo();
  const StreamLayout layout = lay_out(model, false, true);
  int layer = 0;
  for (const DenseItem& item : layout.dense) {
    EXPECT_GE(item.tensor->layer, layer);
    layer = item.tensor->layer;
  }
}

}  // namespace
}  // namespace hypura
