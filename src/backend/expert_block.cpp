#include "backend/expert_block.h"

#include <algorithm>

#include "backend/graph_uses.h"
#include "backend/stream_device.h"

namespace hypura {

namespace {

bool computes_nothing(const ggml_tensor* node) {
  switch (node->op) {
    case GGML_OP_NONE:
    case GGML_OP_VIEW:
    case GGML_OP_RESHAPE:
    case GGML_OP_PERMUTE:
    case GGML_OP_TRANSPOSE:
      return true;
    default:
      return (node->flags & GGML_TENSOR_FLAG_COMPUTE) == 0;
  }
}

// Whether `tensor` has one row for each pair, laid out so that a row can be found by its pair.
bool has_pair_rows(const ExpertBlock& block, const ggml_tensor* tensor) {
  return tensor->ne[1] == block.used() && tensor->ne[2] == block.tokens() && tensor->ne[3] == 1 &&
         tensor->nb[0] == ggml_type_size(tensor->type);
}

// A view that takes the same stretch of every row.
bool is_row_view(const ExpertBlock& block, const ggml_tensor* view) {
  const ggml_tensor* base = view->view_src;
  return view->op == GGML_OP_VIEW && has_pair_rows(block, view) && view->nb[1] == base->nb[1] &&
         view->nb[2] == base->nb[2] && view->view_offs + ggml_row_size(view->type, view->ne[0]) <= base->nb[1];
}

// Row operations whose sources are all the block's rows, but for the biases and ids of ADD_ID, taken as they are.
bool fits(const ExpertBlock& block, const ggml_tensor* node) {
  if (!is_row_op(node) || !has_pair_rows(block, node)) {
    return false;
  }
  if (node->op == GGML_OP_ADD_ID) {
    return block_result(block, node->src[0]) != nullptr && node->src[2] == block.ids;
  }
  return std::all_of(std::begin(node->src), std::end(node->src), [&](const ggml_tensor* source) {
    return source == nullptr || block_result(block, source) != nullptr;
  });
}

// Nodes of the block that use `tensor`, through row views too.
int uses_inside(const ExpertBlock& block, const ggml_cgraph* graph, const ggml_tensor* tensor) {
  int uses = 0;
  for (const BlockNode& it : block.nodes) {
    uses += static_cast<int>(std::count(std::begin(it.node->src), std::end(it.node->src), tensor));
  }
  for (int i = 0; i < ggml_graph_n_nodes(const_cast<ggml_cgraph*>(graph)); ++i) {
    const ggml_tensor* view = ggml_graph_node(const_cast<ggml_cgraph*>(graph), i);
    if (view->op == GGML_OP_VIEW && view->view_src == tensor && is_row_view(block, view)) {
      uses += uses_inside(block, graph, view) == graph_uses(graph, view) ? 1 : 0;
    }
  }
  return uses;
}

}  // namespace

const ggml_tensor* block_result(const ExpertBlock& block, const ggml_tensor* source) {
  const bool view = source->op == GGML_OP_VIEW && source->view_src != nullptr && is_row_view(block, source);
  const ggml_tensor* base = view ? source->view_src : source;
  const bool ours =
      std::any_of(block.nodes.begin(), block.nodes.end(), [&](const BlockNode& it) { return it.node == base; });
  return ours ? base : nullptr;
}

ExpertBlock parse_expert_block(const ggml_cgraph* graph, int start, const StreamedWeights& weights) {
  auto* nodes = const_cast<ggml_cgraph*>(graph);
  ExpertBlock block;
  block.ids = ggml_graph_node(nodes, start)->src[2];
  block.layer = weights.find(ggml_graph_node(nodes, start)->src[0])->layer;
  int i = start;
  for (; i < ggml_graph_n_nodes(nodes); ++i) {
    ggml_tensor* node = ggml_graph_node(nodes, i);
    if (computes_nothing(node)) {
      continue;
    }
    if (node->op == GGML_OP_MUL_MAT_ID && node->src[2] == block.ids && is_streamed_matmul(node) &&
        weights.find(node->src[0])->layer == block.layer) {
      block.nodes.push_back({node, weights.find(node->src[0]), false});
    } else if (fits(block, node)) {
      block.nodes.push_back({node, nullptr, false});
    } else {
      break;
    }
  }
  block.end = i;
  for (BlockNode& it : block.nodes) {
    it.scatter = (it.node->flags & GGML_TENSOR_FLAG_OUTPUT) != 0 ||
                 uses_inside(block, graph, it.node) != graph_uses(graph, it.node);
  }
  block.nodes.back().scatter = true;
  return block;
}

}  // namespace hypura
