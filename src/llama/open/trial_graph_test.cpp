#include "llama/open/trial_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

#include "ggml.h"

namespace hypura {
namespace {

using testing::HasSubstr;
using testing::Optional;

class TrialGraph : public testing::Test {
 protected:
  TrialGraph() : context_(ggml_init({64 << 20, nullptr, true})) {}
  ~TrialGraph() override { ggml_free(context_); }

  // Heads of 32, eight of them, for four tokens.
  ggml_tensor* heads() { return ggml_new_tensor_3d(context_, GGML_TYPE_F32, 32, 8, 4); }
  ggml_tensor* positions(int64_t count) { return ggml_new_tensor_1d(context_, GGML_TYPE_I32, count); }

  std::optional<std::string> fault(ggml_tensor* last) {
    ggml_cgraph* graph = ggml_new_graph(context_);
    ggml_build_forward_expand(graph, last);
    return fault_of_graph(graph);
  }
  std::optional<std::string> fault_of_rope(int dimensions, int mode = GGML_ROPE_TYPE_NEOX) {
    return fault(ggml_rope(context_, heads(), positions(4), dimensions, mode));
  }
  std::optional<std::string> fault_of_sections(std::array<int, 4> sections) {
    return fault(ggml_rope_multi(context_, heads(), positions(16), nullptr, 32, sections.data(), GGML_ROPE_TYPE_MROPE,
                                 0, 1e4F, 1, 0, 1, 0, 0));
  }

  ggml_context* context_;
};

TEST_F(TrialGraph, EpsilonsAreNumbersOfZeroOrMore) {
  for (const float bad : {-1.0F, -1e-9F, std::nanf(""), std::numeric_limits<float>::infinity()}) {
    EXPECT_THAT(fault(ggml_rms_norm(context_, heads(), bad)), Optional(HasSubstr("epsilon")));
    EXPECT_THAT(fault(ggml_norm(context_, heads(), bad)), Optional(HasSubstr("epsilon")));
    EXPECT_THAT(fault(ggml_l2_norm(context_, heads(), bad)), Optional(HasSubstr("epsilon")));
    EXPECT_THAT(fault(ggml_group_norm(context_, heads(), 2, bad)), Optional(HasSubstr("epsilon")));
  }
  EXPECT_EQ(fault(ggml_rms_norm(context_, heads(), 0)), std::nullopt);
  EXPECT_EQ(fault(ggml_group_norm(context_, heads(), 2, 1e-5F)), std::nullopt);
}

TEST_F(TrialGraph, RotationsFitTheHeads) {
  for (const int bad : {0, 7, 34, -2, std::numeric_limits<int>::min()}) {
    EXPECT_THAT(fault_of_rope(bad), Optional(HasSubstr("rotary embedding"))) << bad;
  }
  EXPECT_EQ(fault_of_rope(32), std::nullopt);
  EXPECT_EQ(fault_of_rope(16, GGML_ROPE_TYPE_NORMAL), std::nullopt) << "some heads are turned in part";
}

TEST_F(TrialGraph, SectionsDivideTheDimensions) {
  const std::array<int, 4> bad[] = {{0, 0, 0, 0}, {-1, 1, 0, 0}, {0, 0, 0, 8}, {1 << 30, 1 << 30, 1 << 30, 1 << 30}};
  for (const auto& sections : bad) {
    EXPECT_THAT(fault_of_sections(sections), Optional(HasSubstr("sections")));
  }
  EXPECT_EQ(fault_of_sections({4, 6, 6, 0}), std::nullopt);
}

}  // namespace
}  // namespace hypura
