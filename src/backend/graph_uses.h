// How often a graph uses a tensor: the one place that reads ggml_cgraph's insides.
#pragma once

#include "ggml.h"

namespace hypura {

// Number of nodes of the whole graph (not only of this part of it) that have `tensor` as a source. 0 when the graph
// does not know it.
int graph_uses(const ggml_cgraph* graph, const ggml_tensor* tensor);

}  // namespace hypura
