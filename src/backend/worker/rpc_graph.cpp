#include "backend/worker/rpc_graph.h"

#include <cstdint>
#include <cstring>
#include <optional>
#include <unordered_map>
#include <vector>

#include "remote/rpc_wire.h"

namespace hypura {

namespace {

template <class T>
T read_at(std::span<const std::byte> bytes, size_t offset) {
  T value{};
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value;
}

// As rpc_server::create_node() has it: a tensor is known before its sources are made, of which the first that there is
// not ends it all.
class GraphWalk {
 public:
  explicit GraphWalk(std::span<const std::byte> tensors)
      : tensors_(tensors), made_(tensors.size() / sizeof(RpcTensor)) {
    for (size_t i = 0; i < made_.size(); ++i) {
      by_id_.emplace(tensor(i).id, i);
    }
  }

  // Whether the depth stays within bounds. False in ended() from then on when the server goes on.
  bool make(uint64_t id) {
    std::vector<Call> calls;
    enter(id, calls);
    while (!calls.empty() && !ended_) {
      if (calls.size() > kMostGraphDepth) {
        return false;
      }
      Call& call = calls.back();
      if (call.next > kRpcSources) {
        calls.pop_back();
        continue;
      }
      const RpcTensor its = tensor(call.tensor);
      const size_t next = call.next++;
      const uint64_t source = next < kRpcSources ? its.src[next] : its.view_src;
      if (source != 0) {
        enter(source, calls);  // after which `call` may be elsewhere
      }
    }
    return true;
  }
  bool ended() const { return ended_; }

 private:
  struct Call {
    size_t tensor = 0;
    size_t next = 0;  // of its sources, with what it is a view of behind them
  };

  RpcTensor tensor(size_t i) const { return read_at<RpcTensor>(tensors_, i * sizeof(RpcTensor)); }

  void enter(uint64_t id, std::vector<Call>& calls) {
    const auto it = by_id_.find(id);
    ended_ = it == by_id_.end();
    if (!ended_ && !made_[it->second]) {
      made_[it->second] = true;
      calls.push_back({it->second, 0});
    }
  }

  std::span<const std::byte> tensors_;
  std::vector<bool> made_;
  std::unordered_map<uint64_t, size_t> by_id_;
  bool ended_ = false;
};

}  // namespace

// A device's number, that of the nodes, their ids, that of the tensors, and these. What is shorter the server refuses.
bool is_shallow_graph(std::span<const std::byte> content) {
  constexpr size_t kHead = 2 * sizeof(uint32_t);
  if (content.size() < kHead + sizeof(uint32_t)) {
    return true;
  }
  const uint64_t nodes = read_at<uint32_t>(content, sizeof(uint32_t));
  const uint64_t tensors_at = kHead + nodes * sizeof(uint64_t) + sizeof(uint32_t);
  if (content.size() < tensors_at) {
    return true;
  }
  const uint64_t tensors = read_at<uint32_t>(content, tensors_at - sizeof(uint32_t));
  if (content.size() - tensors_at < tensors * sizeof(RpcTensor)) {
    return true;
  }
  GraphWalk walk(content.subspan(tensors_at, tensors * sizeof(RpcTensor)));
  for (uint64_t i = 0; i < nodes && !walk.ended(); ++i) {
    const auto id = read_at<uint64_t>(content, kHead + i * sizeof(uint64_t));
    if (id == 0) {  // a node that is missing, which devices refuse
      continue;
    }
    if (!walk.make(id)) {
      return false;
    }
  }
  return true;
}

}  // namespace hypura
