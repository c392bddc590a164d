// What ggml's kernels assert of an operation's numbers only when they compute, found in a graph that is not computed.
#pragma once

#include <optional>
#include <string>

struct ggml_cgraph;

namespace hypura {

// The first thing that a kernel would end the process for: "a norm's epsilon is -1"; nothing when all is well. What is
// told here of ggml is from its source: where the numbers of an operation are, and which its CPU kernels take.
std::optional<std::string> fault_of_graph(const ggml_cgraph* graph);

}  // namespace hypura
