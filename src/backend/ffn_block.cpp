#include "backend/ffn_block.h"

#include <algorithm>
#include <functional>
#include <string_view>
#include <utility>

#include "backend/block_writer.h"
#include "backend/graph_uses.h"
#include "backend/stream_device.h"
#include "remote/protocol.h"

namespace hypura {

namespace {

// One row behind the other.
bool has_plain_rows(const ggml_tensor& tensor) {
  return tensor.type == GGML_TYPE_F32 && tensor.ne[2] == 1 && tensor.ne[3] == 1 && ggml_is_contiguous(&tensor);
}

bool is_own(const FfnBlock& block, const ggml_tensor* tensor) {
  return std::ranges::find(block.nodes, tensor) != block.nodes.end();
}

bool takes_product(FfnBlock& block, const ggml_tensor* node, std::optional<uint32_t> layer) {
  if (layer != block.layer) {
    return false;
  }
  const ggml_tensor* input = node->src[1];
  if (!is_own(block, input)) {
    if (block.input != nullptr && block.input != input) {
      return false;
    }
    block.input = input;
  }
  return has_plain_rows(*input);
}

bool takes_rows(const FfnBlock& block, const ggml_tensor* node) {
  return is_row_op(node) && node->op != GGML_OP_ADD_ID &&
         std::ranges::all_of(node->src, [&](const ggml_tensor* it) { return it == nullptr || is_own(block, it); });
}

bool is_used_outside(const FfnBlock& block, const ggml_cgraph* graph, const ggml_tensor* node) {
  int uses = 0;
  for (const ggml_tensor* it : block.nodes) {
    uses += static_cast<int>(std::count(std::begin(it->src), std::end(it->src), node));
  }
  return (node->flags & GGML_TENSOR_FLAG_OUTPUT) != 0 || uses != graph_uses(graph, node);
}

}  // namespace

std::optional<uint32_t> ffn_layer_of(const StreamedTensor& matrix, std::span<const WorkerLayer> layers) {
  const auto layer =
      std::ranges::lower_bound(layers, matrix.item, {}, [](const WorkerLayer& it) { return it.items.back(); });
  const bool has_it = layer != layers.end() && std::ranges::find(layer->items, matrix.item) != layer->items.end();
  return has_it ? std::optional(static_cast<uint32_t>(layer - layers.begin())) : std::nullopt;
}

std::optional<FfnBlock> parse_ffn_block(const ggml_cgraph* graph, int start, const StreamedWeights& weights,
                                        std::span<const WorkerLayer> layers) {
  auto* all = const_cast<ggml_cgraph*>(graph);
  const auto layer = ffn_layer_of(*weights.find(ggml_graph_node(all, start)->src[0]), layers);
  if (!layer) {
    return std::nullopt;
  }
  FfnBlock block;
  block.layer = *layer;
  size_t products = 0;
  int i = start;
  for (; i < ggml_graph_n_nodes(all) && products < layers[*layer].parts.size(); ++i) {
    ggml_tensor* node = ggml_graph_node(all, i);
    const bool product = is_streamed_matmul(node);
    const bool fits = product ? takes_product(block, node, ffn_layer_of(*weights.find(node->src[0]), layers))
                              : takes_rows(block, node);
    if (!fits || !has_plain_rows(*node) || (node->flags & GGML_TENSOR_FLAG_COMPUTE) == 0) {
      return std::nullopt;
    }
    products += product ? 1 : 0;
    block.nodes.push_back(node);
  }
  block.end = i;
  const bool whole = products == layers[*layer].parts.size() && block.nodes.size() <= kMostNodes &&
                     std::all_of(block.nodes.begin(), block.nodes.end() - 1,
                                 [&](const ggml_tensor* it) { return !is_used_outside(block, graph, it); });
  return whole ? std::optional(std::move(block)) : std::nullopt;
}

uint64_t ffn_shape(const FfnBlock& block) {
  ShapeHash hash;
  for (const ggml_tensor* node : block.nodes) {
    hash.add(*node);
    for (const ggml_tensor* source : node->src) {
      hash.add(static_cast<uint64_t>(std::ranges::find(block.nodes, source) - block.nodes.begin()));
    }
    hash.add(node->op == GGML_OP_MUL_MAT ? std::hash<std::string_view>()(node->src[0]->name) : 0);
  }
  return hash.value();
}

WorkerRows ffn_rows(const FfnBlock& block) {
  return {block.layer, 1, static_cast<uint32_t>(block.input->ne[0]), static_cast<uint32_t>(block.result()->ne[0])};
}

WorkerBlock make_ffn_worker_block(const FfnBlock& block, uint32_t most_pairs) {
  BlockWriter writer(most_pairs);
  writer.add_input(*block.input);
  for (const ggml_tensor* node : block.nodes) {
    BlockWriter::Sources sources{};
    for (size_t i = 0; i < sources.size() && node->src[i] != nullptr; ++i) {
      const auto known = writer.known(node->src[i]);
      sources[i] = known ? *known : writer.add_weight(*node->src[i]);
    }
    writer.add_node(*node, sources, node == block.result());
  }
  return {ffn_rows(block), writer.tensors(), writer.nodes()};
}

}  // namespace hypura
