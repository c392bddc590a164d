#include "backend/worker_block.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "backend/worker_layers.h"

namespace hypura {

static_assert(kRpcDims == GGML_MAX_DIMS && kRpcSources == GGML_MAX_SRC && kRpcName == GGML_MAX_NAME);
static_assert(kRpcParams * sizeof(int32_t) == GGML_MAX_OP_PARAMS);
static_assert(kRpcF32 == GGML_TYPE_F32 && kRpcI8 == GGML_TYPE_I8 && kRpcI32 == GGML_TYPE_I32);
static_assert(kRpcCompute == GGML_TENSOR_FLAG_COMPUTE);

namespace {

// Biases lie outside the block, and are the model's by their names.
bool has_name(const ggml_tensor* tensor) {
  return tensor->name[0] != '\0' && tensor->view_src == nullptr;
}

// Of a product or a row operation of the block's own results.
bool can_be_sent(const ExpertBlock& block, const BlockNode& it) {
  const ggml_tensor* node = it.node;
  if (node->type != GGML_TYPE_F32) {
    return false;
  }
  if (it.weight != nullptr) {
    return has_name(node->src[0]) && node->src[1]->type == GGML_TYPE_F32;
  }
  const bool biased = node->op == GGML_OP_ADD_ID;
  return !biased || (has_name(node->src[1]) && node->src[1]->type == GGML_TYPE_F32 && node->src[2] == block.ids);
}

// Puts the tensors of a block together.
class BlockWriter {
 public:
  BlockWriter(const ExpertBlock& block, uint32_t most_pairs) : block_(block), rows_(most_pairs) {
    RpcTensor& ids = add(kRpcI32, kIdsName);
    ids.set_shape(sizeof(int32_t), {1, rows_, 1, 1});
    ids_ = ids.id;
    const ggml_tensor* input = block_input(block);
    RpcTensor& ask = add(kRpcF32, kAskName);
    ask.set_shape(sizeof(float), {static_cast<uint32_t>(input->ne[0]), 1, rows_, 1});
    known_[input] = ask.id;
  }

  void write(const BlockNode& it, bool last) {
    const ggml_tensor& node = *it.node;
    uint64_t sources[kRpcSources] = {};
    for (size_t i = 0; i < kRpcSources && node.src[i] != nullptr; ++i) {
      sources[i] = source(node.src[i]);
    }
    RpcTensor& sent = add(kRpcF32, last ? kReplyName : std::string_view());
    sent.set_shape(sizeof(float), {static_cast<uint32_t>(node.ne[0]), 1, rows_, 1});
    sent.op = node.op;
    sent.flags = kRpcCompute;
    for (size_t i = 0; i < kRpcParams; ++i) {
      sent.op_params[i] = node.op_params[i];
    }
    for (size_t i = 0; i < kRpcSources; ++i) {
      sent.src[i] = sources[i];
    }
    known_[it.node] = sent.id;
    nodes_.push_back(sent.id);
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

  // The number of a source, which is added where it is new.
  uint64_t source(const ggml_tensor* tensor) {
    if (tensor == block_.ids) {
      return ids_;
    }
    if (const auto it = known_.find(tensor); it != known_.end()) {
      return it->second;
    }
    const ggml_tensor* base = block_result(block_, tensor);
    return known_[tensor] = base == nullptr ? add_weight(*tensor) : add_view(*tensor, known_.at(base));
  }

  uint64_t add_weight(const ggml_tensor& weight) {
    RpcTensor& sent = add(static_cast<uint32_t>(weight.type), weight.name);
    set_weight_shape(weight, sent);
    return sent.id;
  }

  uint64_t add_view(const ggml_tensor& view, uint64_t base) {
    const RpcTensor viewed = tensors_[base - 1];
    RpcTensor& sent = add(kRpcF32, {});
    sent.op = GGML_OP_VIEW;
    sent.view_src = base;
    sent.view_offs = view.view_offs;
    sent.src[0] = base;
    sent.ne[0] = static_cast<uint32_t>(view.ne[0]);
    for (size_t i = 1; i < kRpcDims; ++i) {
      sent.ne[i] = viewed.ne[i];
    }
    for (size_t i = 0; i < kRpcDims; ++i) {
      sent.nb[i] = viewed.nb[i];
    }
    return sent.id;
  }

  const ExpertBlock& block_;
  const uint32_t rows_;
  uint64_t ids_ = 0;
  std::vector<RpcTensor> tensors_;
  std::vector<uint64_t> nodes_;
  std::unordered_map<const ggml_tensor*, uint64_t> known_;
};

uint64_t mix(uint64_t hash, uint64_t number) {
  return (hash ^ number) * 0x9e3779b97f4a7c15 + (hash >> 29);
}

}  // namespace

WorkerRoom worker_room(const StreamLayout& layout) {
  WorkerRoom room;
  room.choices = kMostPairs * std::max(layout.experts_used, 1U);
  for (const WorkerLayer& it : worker_layers(layout)) {
    ++room.layers;
    room.experts = std::max(room.experts, it.experts);
    room.width = std::max(room.width, it.width);
    room.result = std::max(room.result, it.result);
  }
  return room;
}

void set_weight_shape(const ggml_tensor& weight, RpcTensor& sent) {
  for (size_t i = 0; i < kRpcDims; ++i) {
    sent.ne[i] = static_cast<uint32_t>(weight.ne[i]);
    sent.nb[i] = static_cast<uint32_t>(weight.nb[i]);  // cut, as llama.cpp's own client does: nobody reads it
  }
}

const ggml_tensor* block_input(const ExpertBlock& block) {
  const ggml_tensor* input = nullptr;
  for (const BlockNode& it : block.nodes) {
    if (it.weight == nullptr || block_result(block, it.node->src[1]) != nullptr) {
      continue;
    }
    if (input != nullptr && it.node->src[1] != input) {
      return nullptr;
    }
    input = it.node->src[1];
  }
  const bool row_a_token = input != nullptr && input->ne[1] == 1 && input->ne[2] == block.tokens() &&
                           input->type == GGML_TYPE_F32 && input->nb[0] == sizeof(float);
  return row_a_token ? input : nullptr;
}

bool has_worker_shape(const ExpertBlock& block) {
  if (block.nodes.size() > kMostNodes || block_input(block) == nullptr) {
    return false;
  }
  const auto results = std::ranges::count_if(block.nodes, [](const BlockNode& it) { return it.scatter; });
  return results == 1 &&  // the last node: it always is one
         std::ranges::all_of(block.nodes, [&](const BlockNode& it) { return can_be_sent(block, it); });
}

uint64_t worker_shape(const ExpertBlock& block) {
  uint64_t hash = 1;
  for (const BlockNode& it : block.nodes) {
    hash = mix(hash, static_cast<uint64_t>(it.node->op));
    hash = mix(hash, static_cast<uint64_t>(it.node->ne[0]));
    hash = mix(hash, it.weight == nullptr ? UINT64_MAX : it.weight->part);
    for (const int32_t parameter : it.node->op_params) {
      hash = mix(hash, static_cast<uint32_t>(parameter));
    }
    for (const ggml_tensor* source : it.node->src) {
      const ggml_tensor* base = source == nullptr ? nullptr : block_result(block, source);
      const auto at = std::ranges::find_if(block.nodes, [base](const BlockNode& node) { return node.node == base; });
      hash = mix(hash, static_cast<uint64_t>(at - block.nodes.begin()));
      hash = mix(hash, base == nullptr ? 0 : source->view_offs);
    }
  }
  return hash;
}

WorkerBlock make_worker_block(const ExpertBlock& block, const StreamLayout& layout, uint32_t most_pairs) {
  BlockWriter writer(block, most_pairs);
  for (const BlockNode& it : block.nodes) {
    writer.write(it, it.node == block.nodes.back().node);
  }
  return {worker_rows(block, layout), writer.tensors(), writer.nodes()};
}

WorkerRows worker_rows(const ExpertBlock& block, const StreamLayout& layout) {
  return {block.layer, layout.expert_layers[block.layer].experts, static_cast<uint32_t>(block_input(block)->ne[0]),
          static_cast<uint32_t>(block.nodes.back().node->ne[0])};
}

}  // namespace hypura
