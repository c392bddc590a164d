#include "backend/gpu/host_block.h"

#include <algorithm>
#include <cassert>
#include <iterator>

#include "support/units.h"

namespace hypura {

namespace {

constexpr size_t kHostAlignment = 64;

size_t room_for(const ggml_tensor* tensor) {
  return round_up(ggml_nbytes(tensor), kHostAlignment);
}

// What a node takes from outside of the block, in the order of its sources: rows of a product, biases.
bool is_outside(const ExpertBlock& block, const BlockNode& it, size_t source) {
  const ggml_tensor* tensor = it.node->src[source];
  const bool weight_or_choice = it.weight != nullptr && source != 1;
  return tensor != nullptr && !weight_or_choice && tensor != block.ids && block_result(block, tensor) == nullptr;
}

}  // namespace

size_t HostBlock::bytes_for(const ExpertBlock& block) {
  size_t bytes = 0;
  std::vector<const ggml_tensor*> seen;
  for (const BlockNode& it : block.nodes) {
    bytes += it.scatter ? room_for(it.node) : 0;
    for (size_t i = 0; i < std::size(it.node->src); ++i) {
      const ggml_tensor* source = it.node->src[i];
      if (is_outside(block, it, i) && std::ranges::find(seen, source) == seen.end()) {
        seen.push_back(source);
        bytes += room_for(source);
      }
    }
  }
  return bytes;
}

void HostBlock::copy(const ExpertBlock& block, std::span<std::byte> memory) {
  tensors_.clear();
  copies_.clear();
  inputs_.clear();
  biases_.clear();
  results_.clear();
  memory_ = memory;
  taken_ = 0;
  block_ = {block.layer, block.ids, {}, block.end};
  for (const BlockNode& it : block.nodes) {
    ggml_tensor* node = add(it.node);
    for (size_t i = 0; i < std::size(it.node->src); ++i) {
      const bool kept = it.node->src[i] == nullptr || it.node->src[i] == block.ids || (it.weight != nullptr && i != 1);
      node->src[i] = kept ? it.node->src[i] : host_of(block, it.node->src[i], it.weight != nullptr ? inputs_ : biases_);
    }
    if (it.scatter) {
      node->data = take(ggml_nbytes(node));
      results_.push_back({it.node, node});
    }
    block_.nodes.push_back({node, it.weight, it.scatter});
  }
}

// The copy of the block's own result, of a view of one, or of what comes from outside.
ggml_tensor* HostBlock::host_of(const ExpertBlock& block, ggml_tensor* source, std::vector<Copy>& outside) {
  if (const auto known = std::ranges::find(copies_, source, &Copy::device); known != copies_.end()) {
    return known->host;
  }
  const bool ours = block_result(block, source) != nullptr;
  ggml_tensor* copy = add(source);
  if (ours) {
    copy->view_src = std::ranges::find(copies_, source->view_src, &Copy::device)->host;
  } else {
    copy->view_src = nullptr;
    copy->view_offs = 0;
    copy->data = take(ggml_nbytes(source));
    outside.push_back({source, copy});
  }
  return copy;
}

ggml_tensor* HostBlock::add(ggml_tensor* original) {
  ggml_tensor* copy = &tensors_.emplace_back(*original);
  copy->buffer = nullptr;
  copy->data = nullptr;
  copies_.push_back({original, copy});
  return copy;
}

std::byte* HostBlock::take(size_t bytes) {
  std::byte* place = memory_.data() + taken_;
  taken_ += round_up(bytes, kHostAlignment);
  assert(taken_ <= memory_.size());
  return place;
}

}  // namespace hypura
