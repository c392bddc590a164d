#include "remote/rpc_wire.h"

namespace hypura {

void RpcTensor::set_name(std::string_view text) {
  std::memset(name, 0, sizeof(name));
  text.substr(0, kRpcName - 1).copy(name, kRpcName - 1);
}

void RpcTensor::set_shape(uint32_t element_bytes, std::array<uint32_t, kRpcDims> elements) {
  uint32_t bytes = element_bytes;
  for (size_t i = 0; i < kRpcDims; ++i) {
    ne[i] = elements[i];
    nb[i] = bytes;
    bytes *= elements[i];
  }
}

std::span<std::byte> RpcRequests::add_set_tensor(const RpcTensor& tensor, size_t size) {
  const RpcSetTensor head = {tensor, 0, 0};
  begin(RpcCommand::kSetTensor, sizeof(head) + size);
  append(&head, sizeof(head));
  const size_t at = bytes_.size();
  bytes_.resize(at + size);
  return std::span(bytes_).subspan(at);
}

void RpcRequests::add_graph(uint32_t device, std::span<const uint64_t> nodes, std::span<const RpcTensor> tensors) {
  const auto node_count = static_cast<uint32_t>(nodes.size());
  const auto tensor_count = static_cast<uint32_t>(tensors.size());
  begin(RpcCommand::kGraphCompute, 3 * sizeof(uint32_t) + nodes.size_bytes() + tensors.size_bytes());
  append(&device, sizeof(device));
  append(&node_count, sizeof(node_count));
  append(nodes.data(), nodes.size_bytes());
  append(&tensor_count, sizeof(tensor_count));
  append(tensors.data(), tensors.size_bytes());
}

void RpcRequests::begin(RpcCommand command, uint64_t size) {
  append(&command, sizeof(command));
  append(&size, sizeof(size));
}

void RpcRequests::append(const void* from, size_t size) {
  const auto* bytes = static_cast<const std::byte*>(from);
  bytes_.insert(bytes_.end(), bytes, bytes + size);
}

}  // namespace hypura
