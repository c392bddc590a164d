#include "llama/open/trial_graph.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <span>

#include "ggml.h"

namespace hypura {

namespace {

template <class T>
T param(const ggml_tensor& node, size_t index) {
  T value;
  std::memcpy(&value, node.op_params + index, sizeof(value));
  return value;
}

std::optional<std::string> fault_of_epsilon(const ggml_tensor& node, size_t index) {
  const auto epsilon = param<float>(node, index);
  if (epsilon >= 0 && std::isfinite(epsilon)) {
    return std::nullopt;
  }
  return fmt::format("the epsilon of a norm is {}, and must be a number of 0 or more", epsilon);
}

// Positions are of several kinds, each of which turns some of the dimensions.
std::optional<std::string> fault_of_sections(const ggml_tensor& node) {
  constexpr size_t kSections = 11;
  const std::span<const int32_t, GGML_MROPE_SECTIONS> sections(node.op_params + kSections, GGML_MROPE_SECTIONS);
  int64_t sum = 0;
  bool negative = false;
  for (const int32_t section : sections) {
    negative = negative || section < 0;
    sum += section;
  }
  if (!negative && sum - sections[3] > 0 && sum <= node.ne[0]) {
    return std::nullopt;
  }
  return fmt::format("the sections of its rotary embedding, {}, {}, {} and {}, do not divide {} dimensions",
                     sections[0], sections[1], sections[2], sections[3], node.ne[0]);
}

std::optional<std::string> fault_of_rope(const ggml_tensor& node) {
  const auto dimensions = param<int32_t>(node, 1);
  const auto mode = param<int32_t>(node, 2);
  const auto first = param<int32_t>(node, 15);
  const bool fits = dimensions > 0 && first >= 0 && int64_t{first} + dimensions <= node.ne[0];
  if (!fits || dimensions % 2 != 0 || first % 2 != 0) {
    return fmt::format("its rotary embedding turns {} dimensions from {} on, of heads of {}", dimensions, first,
                       node.ne[0]);
  }
  if (mode == GGML_ROPE_TYPE_VISION && (dimensions != node.ne[0] / 2 || first != 0)) {
    return fmt::format("its rotary embedding turns {} dimensions, and not half of {}", dimensions, node.ne[0]);
  }
  return (mode & GGML_ROPE_TYPE_MROPE) != 0 ? fault_of_sections(node) : std::nullopt;
}

// Models have some tens.
std::optional<std::string> fault_of_iterations(const ggml_tensor& node) {
  constexpr int32_t kMost = 1000;
  const auto iterations = param<int32_t>(node, 1);
  return iterations > kMost ? std::optional(fmt::format("a step is to be repeated {} times for each token", iterations))
                            : std::nullopt;
}

std::optional<std::string> fault_of(const ggml_tensor& node) {
  switch (node.op) {
    case GGML_OP_NORM:
    case GGML_OP_RMS_NORM:
    case GGML_OP_L2_NORM:
      return fault_of_epsilon(node, 0);
    case GGML_OP_GROUP_NORM:
      return fault_of_epsilon(node, 1);
    case GGML_OP_ROPE:
      return fault_of_rope(node);
    case GGML_OP_DSV4_HC_COMB:
      return fault_of_iterations(node);
    default:
      return std::nullopt;
  }
}

}  // namespace

std::optional<std::string> fault_of_graph(const ggml_cgraph* graph) {
  auto* nodes = const_cast<ggml_cgraph*>(graph);  // ggml's readers take no constant ones
  for (int i = 0; i < ggml_graph_n_nodes(nodes); ++i) {
    if (auto fault = fault_of(*ggml_graph_node(nodes, i))) {
      return fault;
    }
  }
  return std::nullopt;
}

}  // namespace hypura
