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
