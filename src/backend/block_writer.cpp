#include "backend/block_writer.h"

#include <algorithm>
#include <cstring>

#include "remote/protocol.h"

namespace hypura {

static_assert(kRpcDims == GGML_MAX_DIMS && kRpcSources == GGML_MAX_SRC && kRpcName == GGML_MAX_NAME);
static_assert(kRpcParams * sizeof(int32_t) == GGML_MAX_OP_PARAMS);
static_assert(kRpcF32 == GGML_TYPE_F32 && kRpcI8 == GGML_TYPE_I8 && kRpcI32 == GGML_TYPE_I32);
static_assert(kRpcCompute == GGML_TENSOR_FLAG_COMPUTE);

RpcTensor& BlockWriter::add(const ggml_tensor* tensor, uint32_t type, std::string_view name) {
  RpcTensor& sent = tensors_.emplace_back();
  sent.id = known_[tensor] = tensors_.size();
  sent.type = type;
  sent.set_name(name);
  return sent;
}

void BlockWriter::set_rows(RpcTensor& sent, const ggml_tensor& tensor) const {
  sent.set_shape(sizeof(float), {static_cast<uint32_t>(tensor.ne[0]), 1, rows_, 1});
}

uint64_t BlockWriter::add_ids(const ggml_tensor* ids) {
  RpcTensor& sent = add(ids, kRpcI32, kIdsName);
  sent.set_shape(sizeof(int32_t), {1, rows_, 1, 1});
  return sent.id;
}

uint64_t BlockWriter::add_input(const ggml_tensor& input) {
  RpcTensor& sent = add(&input, kRpcF32, kAskName);
  set_rows(sent, input);
  return sent.id;
}

uint64_t BlockWriter::add_weight(const ggml_tensor& weight) {
  RpcTensor& sent = add(&weight, static_cast<uint32_t>(weight.type), weight.name);
  for (size_t i = 0; i < kRpcDims; ++i) {
    sent.ne[i] = static_cast<uint32_t>(weight.ne[i]);
    sent.nb[i] = static_cast<uint32_t>(weight.nb[i]);  // cut, as llama.cpp's own client does: nobody reads it
  }
  return sent.id;
}

uint64_t BlockWriter::add_view(const ggml_tensor& view, uint64_t base) {
  const RpcTensor viewed = tensors_[base - 1];
  RpcTensor& sent = add(&view, kRpcF32, {});
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

uint64_t BlockWriter::add_node(const ggml_tensor& node, const Sources& sources, bool last) {
  RpcTensor& sent = add(&node, kRpcF32, last ? kReplyName : std::string_view());
  set_rows(sent, node);
  sent.op = node.op;
  sent.flags = kRpcCompute;
  // By memcpy: a message aligns nothing.
  std::memcpy(&sent.op_params, node.op_params, sizeof(sent.op_params));
  std::memcpy(&sent.src, sources.data(), sizeof(sent.src));
  nodes_.push_back(sent.id);
  return sent.id;
}

std::optional<uint64_t> BlockWriter::known(const ggml_tensor* tensor) const {
  const auto it = known_.find(tensor);
  return it == known_.end() ? std::nullopt : std::optional(it->second);
}

void ShapeHash::add(const ggml_tensor& node) {
  add(static_cast<uint64_t>(node.op));
  add(static_cast<uint64_t>(node.ne[0]));
  for (const int32_t parameter : node.op_params) {
    add(static_cast<uint32_t>(parameter));
  }
}

}  // namespace hypura
