// What blocks of experts and feed-forward parts have in common as graphs for a worker (remote/protocol.h): one
// thread's, as all graphs are.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ggml.h"
#include "remote/rpc_wire.h"

namespace hypura {

// Puts the tensors of a block together: of `rows` rows, which are one ask's at most.
class BlockWriter {
 public:
  using Sources = std::array<uint64_t, kRpcSources>;  // ids; 0: none

  explicit BlockWriter(uint32_t rows) : rows_(rows) {}

  // Each gives the new tensor's id, which known() then has for `tensor`.
  uint64_t add_ids(const ggml_tensor* ids);
  uint64_t add_input(const ggml_tensor& input);    // the rows that are asked for
  uint64_t add_weight(const ggml_tensor& weight);  // by its name
  uint64_t add_view(const ggml_tensor& view, uint64_t base);
  uint64_t add_node(const ggml_tensor& node, const Sources& sources, bool last);

  std::optional<uint64_t> known(const ggml_tensor* tensor) const;

  std::vector<RpcTensor> tensors() { return std::move(tensors_); }
  std::vector<uint64_t> nodes() { return std::move(nodes_); }

 private:
  RpcTensor& add(const ggml_tensor* tensor, uint32_t type, std::string_view name);
  void set_rows(RpcTensor& sent, const ggml_tensor& tensor) const;

  const uint32_t rows_;
  std::vector<RpcTensor> tensors_;
  std::vector<uint64_t> nodes_;
  std::unordered_map<const ggml_tensor*, uint64_t> known_;
};

// Of the numbers that a block's shape consists of: blocks of a layer with the same ones have the same graph.
class ShapeHash {
 public:
  void add(uint64_t number) { value_ = (value_ ^ number) * 0x9e3779b97f4a7c15 + (value_ >> 29); }
  // Its operation, row length and parameters.
  void add(const ggml_tensor& node);
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 1;
};

}  // namespace hypura
