#include "backend/graph_uses.h"

#include "ggml-impl.h"

namespace hypura {

int graph_uses(const ggml_cgraph* graph, const ggml_tensor* tensor) {
  const size_t slot = ggml_hash_find(&graph->visited_hash_set, tensor);
  const bool known = slot != GGML_HASHSET_FULL && ggml_bitset_get(graph->visited_hash_set.used, slot);
  return known ? graph->use_counts[slot] : 0;
}

void count_graph_uses(ggml_cgraph* graph) {
  for (int i = 0; i < graph->n_nodes; ++i) {
    graph->use_counts[ggml_hash_find_or_insert(&graph->visited_hash_set, graph->nodes[i])] = 0;
  }
  for (int i = 0; i < graph->n_nodes; ++i) {
    for (const ggml_tensor* source : graph->nodes[i]->src) {
      const size_t slot = source == nullptr ? GGML_HASHSET_FULL : ggml_hash_find(&graph->visited_hash_set, source);
      if (slot != GGML_HASHSET_FULL && ggml_bitset_get(graph->visited_hash_set.used, slot)) {
        ++graph->use_counts[slot];
      }
    }
  }
}

uint64_t graph_number(const ggml_cgraph* graph) {
  return graph->uid;
}

void number_graph(ggml_cgraph* graph, uint64_t number) {
  graph->uid = number;
}

ggml_status compute_part(ggml_backend_t backend, ggml_cgraph* graph, int begin, int end) {
  if (begin == 0 && end == graph->n_nodes) {
    return ggml_backend_graph_compute_async(backend, graph);  // with what backends know it by
  }
  ggml_cgraph part = ggml_graph_view(graph, begin, end);
  return ggml_backend_graph_compute_async(backend, &part);
}

}  // namespace hypura
