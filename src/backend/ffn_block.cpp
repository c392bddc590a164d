#include "backend/ffn_block.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "backend/graph_uses.h"
#include "backend/stream_device.h"
#include "backend/worker_block.h"

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

// Puts the tensors of a block together.
class FfnWriter {
 public:
  FfnWriter(const FfnBlock& block, uint32_t most_pairs) : rows_(most_pairs) {
    RpcTensor& ask = add(kRpcF32, kAskName);
    ask.set_shape(sizeof(float), {static_cast<uint32_t>(block.input->ne[0]), 1, rows_, 1});
    known_[block.input] = ask.id;
    for (const ggml_tensor* node : block.nodes) {
      write(*node, node == block.result());
    }
  }

  std::vector<RpcTensor> tensors() { return std::move(tensors_); }
  std::vector<uint64_t> nodes() { return std::move(nodes_); }

 private:
  RpcTensor& add(uint32_t type, std::string_view name) {
    RpcTensor& tensor = tensors_.emplace_back();
    tensor.id = tensors_.size();
    tensor.type = type;
    tensor.set_name(name);
    return tensor;
  }

  uint64_t source(const ggml_tensor* tensor) {
    const auto [it, is_new] = known_.try_emplace(tensor, 0);
    if (is_new) {
      RpcTensor& weight = add(static_cast<uint32_t>(tensor->type), tensor->name);
      set_weight_shape(*tensor, weight);
      it->second = weight.id;
    }
    return it->second;
  }

  void write(const ggml_tensor& node, bool last) {
    uint64_t sources[kRpcSources] = {};
    for (size_t i = 0; i < kRpcSources && node.src[i] != nullptr; ++i) {
      sources[i] = source(node.src[i]);
    }
    RpcTensor& sent = add(kRpcF32, last ? kReplyName : std::string_view());
    sent.set_shape(sizeof(float), {static_cast<uint32_t>(node.ne[0]), 1, rows_, 1});
    sent.op = node.op;
    sent.flags = kRpcCompute;
    std::copy(std::begin(node.op_params), std::end(node.op_params), std::begin(sent.op_params));
    std::memcpy(&sent.src, &sources, sizeof(sent.src));  // a message aligns nothing
    known_[&node] = sent.id;
    nodes_.push_back(sent.id);
  }

  const uint32_t rows_;
  std::vector<RpcTensor> tensors_;
  std::vector<uint64_t> nodes_;
  std::unordered_map<const ggml_tensor*, uint64_t> known_;
};

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
  uint64_t hash = 1;
  const auto mix = [&](uint64_t number) { hash = (hash ^ number) * 0x9e3779b97f4a7c15 + (hash >> 29); };
  for (const ggml_tensor* node : block.nodes) {
    mix(static_cast<uint64_t>(node->op));
    mix(static_cast<uint64_t>(node->ne[0]));
    for (const int32_t parameter : node->op_params) {
      mix(static_cast<uint32_t>(parameter));
    }
    for (const ggml_tensor* source : node->src) {
      mix(static_cast<uint64_t>(std::ranges::find(block.nodes, source) - block.nodes.begin()));
    }
    mix(node->op == GGML_OP_MUL_MAT ? std::hash<std::string_view>()(node->src[0]->name) : 0);
  }
  return hash;
}

WorkerRows ffn_rows(const FfnBlock& block) {
  return {block.layer, 1, static_cast<uint32_t>(block.input->ne[0]), static_cast<uint32_t>(block.result()->ne[0])};
}

WorkerBlock make_ffn_worker_block(const FfnBlock& block, uint32_t most_pairs) {
  FfnWriter writer(block, most_pairs);
  return {ffn_rows(block), writer.tensors(), writer.nodes()};
}

}  // namespace hypura
