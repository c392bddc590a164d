#include "backend/remote_graph.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <unordered_set>

#include "ggml-backend-impl.h"
#include "support/fail.h"

namespace hypura {

namespace {

class GraphDescription {
 public:
  explicit GraphDescription(RemoteGraph& graph) : graph_(graph) {}

  // With all that it is made of, in front of it.
  Status add(const ggml_tensor* tensor) {
    if (tensor == nullptr || !added_.insert(tensor).second) {
      return {};
    }
    for (const ggml_tensor* source : tensor->src) {
      if (Status status = add(source); !status) {
        return status;
      }
    }
    if (Status status = add(tensor->view_src); !status) {
      return status;
    }
    return append(*tensor);
  }

 private:
  static uint64_t id_of(const ggml_tensor* tensor) { return reinterpret_cast<uint64_t>(tensor); }

  Status append(const ggml_tensor& tensor) {
    if (tensor.buffer == nullptr) {
      return fail(ErrorCode::kInternal, "tensor '{}' has no memory", tensor.name);
    }
    RpcTensor sent;
    sent.id = id_of(&tensor);
    sent.type = static_cast<uint32_t>(tensor.type);
    for (size_t i = 0; i < kRpcDims; ++i) {
      constexpr uint64_t kMost = std::numeric_limits<uint32_t>::max();
      if (static_cast<uint64_t>(tensor.ne[i]) > kMost || tensor.nb[i] > kMost) {
        return fail(ErrorCode::kInternal, "tensor '{}' is larger than the workers' protocol can say", tensor.name);
      }
      sent.ne[i] = static_cast<uint32_t>(tensor.ne[i]);
      sent.nb[i] = static_cast<uint32_t>(tensor.nb[i]);
    }
    sent.op = static_cast<uint32_t>(tensor.op);
    for (size_t i = 0; i < kRpcParams; ++i) {
      sent.op_params[i] = tensor.op_params[i];
    }
    sent.flags = tensor.flags;
    for (size_t i = 0; i < kRpcSources; ++i) {
      sent.src[i] = id_of(tensor.src[i]);
    }
    sent.view_src = id_of(tensor.view_src);
    sent.view_offs = tensor.view_offs;
    const RemoteMemory& memory = static_cast<const RemoteBuffer*>(tensor.buffer->context)->memory;
    if (memory.buffer != 0) {
      sent.buffer = memory.buffer;
      sent.data = reinterpret_cast<uint64_t>(tensor.data);
    }
    sent.set_name(tensor.name);
    graph_.tensors.push_back(sent);
    return {};
  }

  RemoteGraph& graph_;
  std::unordered_set<const ggml_tensor*> added_;
};

}  // namespace

bool workers_compute(ggml_op op) {
  switch (op) {
    case GGML_OP_NONE:
    case GGML_OP_DUP:
    case GGML_OP_ADD:
    case GGML_OP_SUB:
    case GGML_OP_MUL:
    case GGML_OP_DIV:
    case GGML_OP_SQR:
    case GGML_OP_SQRT:
    case GGML_OP_SUM_ROWS:
    case GGML_OP_REPEAT:
    case GGML_OP_CONCAT:
    case GGML_OP_NORM:
    case GGML_OP_RMS_NORM:
    case GGML_OP_L2_NORM:
    case GGML_OP_MUL_MAT:
    case GGML_OP_SCALE:
    case GGML_OP_CPY:
    case GGML_OP_CONT:
    case GGML_OP_RESHAPE:
    case GGML_OP_VIEW:
    case GGML_OP_PERMUTE:
    case GGML_OP_TRANSPOSE:
    case GGML_OP_GET_ROWS:
    case GGML_OP_SET_ROWS:
    case GGML_OP_SOFT_MAX:
    case GGML_OP_ROPE:
    case GGML_OP_CLAMP:
    case GGML_OP_FLASH_ATTN_EXT:
    case GGML_OP_UNARY:
    case GGML_OP_GLU:
    case GGML_OP_ARGSORT:
    case GGML_OP_MUL_MAT_ID:
    case GGML_OP_ADD_ID:
    case GGML_OP_FILL:
      return true;
    default:
      return false;
  }
}

Result<DescribedGraph> describe_graph(const ggml_cgraph& graph) {
  DescribedGraph described;
  GraphDescription description(described.graph);
  for (int i = 0; i < graph.n_nodes; ++i) {
    if (Status status = description.add(graph.nodes[i]); !status) {
      return propagate(status.error());
    }
    described.graph.nodes.push_back(reinterpret_cast<uint64_t>(graph.nodes[i]));
  }
  const ggml_tensor& last = *graph.nodes[graph.n_nodes - 1];
  const RemoteMemory& memory = static_cast<const RemoteBuffer*>(last.buffer->context)->memory;
  described.output = {memory.buffer, reinterpret_cast<uint64_t>(last.data)};
  described.output_bytes = ggml_is_contiguous(&last) && memory.buffer != 0 ? ggml_nbytes(&last) : 0;
  return described;
}

bool same_graph(const RemoteGraph& a, const RemoteGraph& b) {
  const auto same = [](const auto& left, const auto& right) {
    return left.size() == right.size() && std::memcmp(left.data(), right.data(), left.size() * sizeof(left[0])) == 0;
  };
  return !a.nodes.empty() && same(a.nodes, b.nodes) && same(a.tensors, b.tensors);
}

}  // namespace hypura
