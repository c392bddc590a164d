// For tests: the other end of a worker's connection, byte by byte, so that it can say what no client of ours would.
#pragma once

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "ggml.h"
#include "model/model.h"
#include "remote/protocol.h"
#include "remote/rpc_wire.h"
#include "remote/socket_options.h"

namespace hypura {

// A tensor without memory: contiguous, of this shape.
inline RpcTensor peer_tensor(uint64_t id, ggml_type type, std::array<int64_t, 3> ne, std::string_view name) {
  RpcTensor tensor;
  tensor.id = id;
  tensor.type = static_cast<uint32_t>(type);
  tensor.set_name(name);
  std::fill(std::begin(tensor.ne), std::end(tensor.ne), 1U);
  std::transform(ne.begin(), ne.end(), std::begin(tensor.ne), [](int64_t it) { return static_cast<uint32_t>(it); });
  tensor.nb[0] = static_cast<uint32_t>(ggml_type_size(type));
  tensor.nb[1] = static_cast<uint32_t>(ggml_row_size(type, ne[0]));
  tensor.nb[2] = tensor.nb[1] * tensor.ne[1];
  tensor.nb[3] = tensor.nb[2] * tensor.ne[2];
  return tensor;
}

class WorkerPeer {
 public:
  // Connects, and says ggml-rpc's own hello.
  explicit WorkerPeer(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval patience{60, 0};  // a test that hangs is none
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    connected_ = uninterrupted(
                     [&] { return ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)); }) == 0;
    requests_.add(RpcCommand::kHello, RpcHello{});
    connected_ = connected_ && answer<RpcHelloAnswer>().has_value();
  }
  ~WorkerPeer() { ::close(fd_); }
  WorkerPeer(const WorkerPeer&) = delete;
  WorkerPeer& operator=(const WorkerPeer&) = delete;

  bool connected() const { return connected_; }

  RpcRequests& requests() { return requests_; }

  // Sends what was added. False when the worker has closed the connection.
  bool send() {
    const bool sent = send_bytes(requests_.bytes());
    requests_.clear();
    return sent;
  }

  bool send_bytes(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t count = uninterrupted([&] { return ::send(fd_, bytes.data(), bytes.size(), kSendFlags); });
      if (count <= 0) {
        return false;
      }
      bytes = bytes.subspan(static_cast<size_t>(count));
    }
    return true;
  }

  // Sends what was added and reads an answer; none when the worker has closed the connection.
  std::optional<std::vector<std::byte>> answer_bytes() {
    uint64_t size = 0;
    if (!send() || !receive(&size, sizeof(size))) {
      return std::nullopt;
    }
    std::vector<std::byte> bytes(size);
    return receive(bytes.data(), bytes.size()) ? std::optional(bytes) : std::nullopt;
  }
  template <class Content>
  std::optional<Content> answer() {
    const auto bytes = answer_bytes();
    if (!bytes || bytes->size() != sizeof(Content)) {
      return std::nullopt;
    }
    Content content;
    std::memcpy(&content, bytes->data(), sizeof(content));
    return content;
  }

  // Whether the worker closes the connection, once what it has sent was read. Waits for it.
  bool is_closed() {
    std::byte byte{};
    while (true) {
      const ssize_t count = uninterrupted([&] { return ::recv(fd_, &byte, 1, 0); });
      if (count <= 0) {
        return count == 0 || errno == ECONNRESET;
      }
    }
  }

  // A buffer on the worker.
  bool allocate(uint64_t size) {
    requests_.add(RpcCommand::kAllocBuffer, RpcAllocBuffer{0, size});
    const auto buffer = answer<RpcAllocBufferAnswer>();
    if (!buffer || buffer->buffer == 0) {
      return false;
    }
    buffer_ = buffer->buffer;
    requests_.add(RpcCommand::kBufferGetBase, RpcBufferGetBase{buffer_});
    const auto base = answer<RpcBufferGetBaseAnswer>();
    base_ = base ? base->base : 0;
    return base.has_value();
  }
  uint64_t buffer() const { return buffer_; }
  uint64_t base() const { return base_; }

  // Bytes of that buffer.
  RpcTensor raw(std::string_view name, uint64_t offset, uint64_t bytes) const {
    RpcTensor tensor = peer_tensor(1, GGML_TYPE_I8, {static_cast<int64_t>(bytes), 1, 1}, name);
    tensor.buffer = buffer_;
    tensor.data = base_ + offset;
    return tensor;
  }
  void set(std::string_view name, uint64_t offset, std::span<const std::byte> bytes) {
    std::memcpy(requests_.add_set_tensor(raw(name, offset, bytes.size()), bytes.size()).data(), bytes.data(),
                bytes.size());
  }
  std::optional<std::vector<std::byte>> get(std::string_view name, uint64_t offset, uint64_t bytes) {
    requests_.add(RpcCommand::kGetTensor, RpcGetTensor{raw(name, offset, bytes), 0, bytes});
    return answer_bytes();
  }

  std::optional<WorkerVerdict> greet(const WorkerHello& hello) {
    set(kHelloName, 0, std::as_bytes(std::span(&hello, 1)));
    const auto bytes = get(kVerdictName, 0, sizeof(WorkerVerdict));
    if (!bytes || bytes->size() != sizeof(WorkerVerdict)) {
      return std::nullopt;
    }
    WorkerVerdict verdict;
    std::memcpy(&verdict, bytes->data(), sizeof(verdict));
    return verdict;
  }

 private:
  // A reader's ring that this thread has made interrupts its calls when a read has ended.
  template <class Call>
  static ssize_t uninterrupted(const Call& call) {
    ssize_t result = 0;
    while ((result = call()) < 0 && errno == EINTR) {
    }
    return result;
  }

  bool receive(void* to, size_t size) {
    for (size_t got = 0; got < size;) {
      const ssize_t count = uninterrupted([&] { return ::recv(fd_, static_cast<char*>(to) + got, size - got, 0); });
      if (count <= 0) {
        return false;
      }
      got += static_cast<size_t>(count);
    }
    return true;
  }

  int fd_;
  bool connected_ = false;
  RpcRequests requests_;
  uint64_t buffer_ = 0;
  uint64_t base_ = 0;
};

// The block of a layer with gate, up and down, of experts or of a dense layer, as a peer sends it; a test changes it
// before it is sent. Its ask lies at the beginning of the peer's buffer, its reply behind that.
struct PeerBlock {
  PeerBlock(const Model& model, int layer, uint32_t most_pairs, const WorkerPeer& peer) : pairs(most_pairs) {
    const bool dense = model.experts == 0;
    const char* kind = dense ? ".weight" : "_exps.weight";
    const TensorInfo& gate = *model.find(fmt::format("blk.{}.ffn_gate{}", layer, kind));
    const TensorInfo& up = *model.find(fmt::format("blk.{}.ffn_up{}", layer, kind));
    const TensorInfo& down = *model.find(fmt::format("blk.{}.ffn_down{}", layer, kind));
    width = static_cast<uint64_t>(up.shape[0]);
    experts = static_cast<uint32_t>(up.shape[2]);
    const int64_t rows = most_pairs;
    for (const TensorInfo* weight : {&gate, &up, &down}) {
      add(peer_tensor(0, static_cast<ggml_type>(weight->type), {weight->shape[0], weight->shape[1], weight->shape[2]},
                      weight->name));
    }
    add(peer_tensor(0, GGML_TYPE_F32, {up.shape[0], 1, rows}, kAskName));
    add(peer_tensor(0, GGML_TYPE_I32, {1, rows, 1}, kIdsName));
    const ggml_op product = dense ? GGML_OP_MUL_MAT : GGML_OP_MUL_MAT_ID;
    const uint64_t ids = dense ? 0 : kIds;
    add_node(product, up.shape[1], {1, kAsk, ids});  // 6
    add_node(product, up.shape[1], {2, kAsk, ids});  // 7
    add_node(GGML_OP_GLU, up.shape[1], {6, 7});      // 8
    add_node(product, down.shape[1], {3, 8, ids});   // 9
    at(8).op_params[0] = GGML_GLU_OP_SWIGLU;
    at(kAsk).buffer = at(9).buffer = peer.buffer();
    at(kAsk).data = peer.base();
    reply_at = ask_bytes(pairs, pairs, width);
    at(9).data = peer.base() + reply_at;
    at(9).set_name(kReplyName);
  }

  static constexpr uint64_t kAsk = 4;
  static constexpr uint64_t kIds = 5;

  // By its id, which counts from 1.
  RpcTensor& at(uint64_t id) { return tensors[id - 1]; }

  uint64_t add(RpcTensor tensor) {
    tensor.id = tensors.size() + 1;
    tensors.push_back(tensor);
    return tensor.id;
  }

  uint64_t add_node(ggml_op op, int64_t ne0, const std::vector<uint64_t>& sources) {
    RpcTensor node = peer_tensor(0, GGML_TYPE_F32, {ne0, 1, pairs}, "");
    node.op = static_cast<uint32_t>(op);
    node.flags = GGML_TENSOR_FLAG_COMPUTE;
    size_t i = 0;
    for (const uint64_t source : sources) {
      node.src[i++] = source;
    }
    nodes.push_back(add(node));
    return nodes.back();
  }

  // What the peer's buffer has to hold.
  uint64_t bytes() const { return reply_at + reply_bytes(experts, pairs, width); }

  uint32_t pairs;
  uint64_t width = 0;  // of the ask and of the reply
  uint32_t experts = 0;
  uint64_t reply_at = 0;
  std::vector<RpcTensor> tensors;
  std::vector<uint64_t> nodes;
};

}  // namespace hypura
