#include "backend/stream_layout.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <regex>

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
