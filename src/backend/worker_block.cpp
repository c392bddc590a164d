#include "backend/worker_block.h"

#include <algorithm>

#include "backend/block_writer.h"
#include "backend/worker_layers.h"

namespace hypura {

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

// What a node computes from; weights and views that are new are added.
BlockWriter::Sources sources_of(const ExpertBlock& block, const ggml_tensor& node, BlockWriter& writer) {
  BlockWriter::Sources ids{};
  for (size_t i = 0; i < ids.size() && node.src[i] != nullptr; ++i) {
    const ggml_tensor& source = *node.src[i];
    const ggml_tensor* base = block_result(block, &source);
    if (const auto known = writer.known(&source)) {
      ids[i] = *known;
    } else {
      ids[i] = base == nullptr ? writer.add_weight(source) : writer.add_view(source, *writer.known(base));
    }
  }
  return ids;
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
  ShapeHash hash;
  for (const BlockNode& it : block.nodes) {
    hash.add(*it.node);
    hash.add(it.weight == nullptr ? UINT64_MAX : it.weight->part);
    for (const ggml_tensor* source : it.node->src) {
      const ggml_tensor* base = source == nullptr ? nullptr : block_result(block, source);
      const auto at = std::ranges::find_if(block.nodes, [base](const BlockNode& node) { return node.node == base; });
      hash.add(static_cast<uint64_t>(at - block.nodes.begin()));
      hash.add(base == nullptr ? 0 : source->view_offs);
    }
  }
  return hash.value();
}

WorkerBlock make_worker_block(const ExpertBlock& block, const StreamLayout& layout, uint32_t most_pairs) {
  BlockWriter writer(most_pairs);
  writer.add_ids(block.ids);
  writer.add_input(*block_input(block));
  for (const BlockNode& it : block.nodes) {
    writer.add_node(*it.node, sources_of(block, *it.node, writer), it.node == block.nodes.back().node);
  }
  return {worker_rows(block, layout), writer.tensors(), writer.nodes()};
}

WorkerRows worker_rows(const ExpertBlock& block, const StreamLayout& layout) {
  return {block.layer, layout.expert_layers[block.layer].experts, static_cast<uint32_t>(block_input(block)->ne[0]),
          static_cast<uint32_t>(block.nodes.back().node->ne[0])};
}

}  // namespace hypura
