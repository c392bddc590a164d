// Parts of graphs, and how often they use a tensor: the one place that knows ggml_cgraph's insides.
#pragma once

#include <cstdint>

#include "ggml-backend.h"
#include "ggml.h"

namespace hypura {

// Number of nodes of the whole graph (not only of this part of it) that have `tensor` as a source. 0 when the graph
// does not know it.
int graph_uses(const ggml_cgraph* graph, const ggml_tensor* tensor);

// Makes that known of a graph whose nodes were added one by one, of each node's uses by others.
void count_graph_uses(ggml_cgraph* graph);

// A number that no other graph of the process has, and that this one keeps for as long as its nodes are what they are;
// 0 where ggml has given it none.
uint64_t graph_number(const ggml_cgraph* graph);

// Gives a graph of ours one, which ggml gives no other.
void number_graph(ggml_cgraph* graph, uint64_t number);

// Begins to compute the nodes from `begin` to before `end` on `backend`. As a view of the graph: one made anew does not
// know how often its nodes are used elsewhere, and backends would not fuse them as they do in the whole graph, which
// gives other bits.
ggml_status compute_part(ggml_backend_t backend, ggml_cgraph* graph, int begin, int end);

}  // namespace hypura
