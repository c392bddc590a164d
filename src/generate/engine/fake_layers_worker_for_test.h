// For tests: a worker in this process that computes the graphs of whole layers that it is sent, with the weights of a
// model's file, by ggml's CPU backend; and one that does not do as it should. It checks nothing: the real one does.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "backend/cpu_kernels.h"
#include "backend/inner_graph.h"
#include "ggml.h"
#include "history/model_fingerprint.h"
#include "llama/llama_runtime.h"
#include "model/model.h"
#include "remote/interrupt_pipe.h"
#include "remote/protocol.h"
#include "remote/rpc_wire.h"
#include "remote/socket_options.h"
#include "remote/worker_address.h"

namespace hypura {

// What it does with its fault_at-th graph; and from then on, in other connections, again what it should.
enum class LayersFault { kNone, kSilent, kCloses, kRefuses, kFails, kWrongLength };

class FakeLayersWorker {
 public:
  explicit FakeLayersWorker(const std::filesystem::path& model) : stop_(InterruptPipe::create().value()) {
    static_cast<void>(init_llama());
    model_ = std::make_unique<const Model>(*open_model(model));
    identity_ = worker_identity(model_fingerprint(*model_), false, ggml_build(), cpu_kernels());
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in any = {};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(any);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&any), size), 0);
    EXPECT_EQ(::listen(listener_, 4), 0);
    EXPECT_EQ(::getsockname(listener_, reinterpret_cast<sockaddr*>(&any), &size), 0);
    address_ = {"127.0.0.1", ntohs(any.sin_port)};
    thread_ = std::thread([this] { run(); });
  }
  ~FakeLayersWorker() { stop(); }

  std::string address() const { return to_string(address_); }
  void set_memory(uint64_t bytes) { memory_ = bytes; }
  void set_fault(LayersFault fault, uint64_t at) {
    fault_at_ = at;
    fault_ = fault;
  }

  uint64_t graphs() const { return graphs_; }            // that were computed
  uint64_t descriptions() const { return described_; }   // of these, that were sent
  uint64_t connections() const { return connections_; }  // that were greeted
  uint64_t held() const { return held_; }                // bytes of buffers
  uint64_t received_bytes() const { return received_; }
  uint64_t sent_bytes() const { return sent_; }
  std::vector<uint16_t> layers() {  // that it was last told it will be asked for
    const std::lock_guard lock(mutex_);
    return layers_;
  }

  // Ends it and all its connections, as a process that is killed.
  void stop() {
    if (thread_.joinable()) {
      stop_.set();
      thread_.join();
      ::close(listener_);
    }
  }

 private:
  struct Graph {
    std::vector<RpcTensor> tensors;
    std::vector<uint64_t> nodes;
  };

  // False when it is to end.
  bool wait(int fd) const {
    pollfd fds[] = {{fd, POLLIN, 0}, {stop_.fd(), POLLIN, 0}};
    ::poll(fds, 2, -1);
    return fds[1].revents == 0;
  }

  void run() {
    while (wait(listener_)) {
      client_ = ::accept(listener_, nullptr, nullptr);
      const int now = 1;
      ::setsockopt(client_, IPPROTO_TCP, TCP_NODELAY, &now, sizeof(now));
      while (serve_one()) {
      }
      ::close(client_);
      buffers_.clear();
      kept_.clear();
      held_ = 0;
      status_ = {};
    }
  }

  bool read(void* into, size_t size) {
    auto* bytes = static_cast<std::byte*>(into);
    while (size > 0) {
      const ssize_t got = wait(client_) ? ::recv(client_, bytes, size, 0) : 0;
      if (got <= 0) {
        return false;
      }
      received_ += static_cast<uint64_t>(got);
      bytes += got;
      size -= static_cast<size_t>(got);
    }
    return true;
  }

  bool answer(const void* from, uint64_t size, uint64_t said) {
    std::vector<std::byte> all(sizeof(said) + size);
    std::memcpy(all.data(), &said, sizeof(said));
    std::memcpy(all.data() + sizeof(said), from, size);
    sent_ += all.size();
    return ::send(client_, all.data(), all.size(), kSendFlags) == static_cast<ssize_t>(all.size());
  }
  template <class Content>
  bool answer(const Content& content) {
    return answer(&content, sizeof(content), sizeof(content));
  }

  template <class Content>
  static Content content(const std::vector<std::byte>& bytes, size_t at = 0) {
    Content it;
    EXPECT_LE(at + sizeof(it), bytes.size());
    std::memcpy(&it, bytes.data() + at, sizeof(it));
    return it;
  }

  bool serve_one() {
    uint8_t command = 0;
    uint64_t size = 0;
    if (!read(&command, 1) || !read(&size, sizeof(size))) {
      return false;
    }
    std::vector<std::byte> in(size);
    if (!read(in.data(), size)) {
      return false;
    }
    switch (static_cast<RpcCommand>(command)) {
      case RpcCommand::kHello: {
        RpcHelloAnswer hello;
        hello.major = kRpcMajor;
        return answer(hello);
      }
      case RpcCommand::kAllocBuffer:
        return answer(allocate(content<RpcAllocBuffer>(in).size));
      case RpcCommand::kBufferGetBase: {
        const uint64_t buffer = content<RpcBufferGetBase>(in).buffer;
        return answer(RpcBufferGetBaseAnswer{reinterpret_cast<uint64_t>(begin_of(buffer))});
      }
      case RpcCommand::kFreeBuffer: {
        const uint64_t buffer = content<RpcFreeBuffer>(in).buffer;
        held_ -= buffers_.at(buffer).size();
        buffers_.erase(buffer);
        return true;  // ggml-rpc answers neither
      }
      case RpcCommand::kBufferClear: {
        const auto asked = content<RpcBufferClear>(in);
        std::ranges::fill(buffers_.at(asked.buffer), std::byte{asked.value});
        return true;  // ggml-rpc answers neither
      }
      case RpcCommand::kSetTensor:
        return set(in);
      case RpcCommand::kGetTensor:
        return get(content<RpcGetTensor>(in));
      case RpcCommand::kGraphCompute:
        return take(in);
      case RpcCommand::kGraphRecompute:
        return compute(content<RpcGraphRecompute>(in).device);
      case RpcCommand::kCopyTensor:
        break;
    }
    ADD_FAILURE() << "command " << int{command} << " is none of the protocol's";
    return false;
  }

  RpcAllocBufferAnswer allocate(uint64_t size) {
    if (held_ + size > memory_) {
      return {};
    }
    buffers_[++last_buffer_].resize(size + kAlignment);
    held_ += size + kAlignment;
    return {last_buffer_, size};
  }
  std::byte* begin_of(uint64_t buffer) {
    const auto address = reinterpret_cast<uintptr_t>(buffers_.at(buffer).data());
    return reinterpret_cast<std::byte*>((address + kAlignment - 1) / kAlignment * kAlignment);
  }

  std::byte* at(const RpcTensor& tensor, uint64_t offset, uint64_t size) {
    std::vector<std::byte>& buffer = buffers_.at(uint64_t{tensor.buffer});
    auto* place = reinterpret_cast<std::byte*>(uint64_t{tensor.data} + offset);
    EXPECT_GE(place, buffer.data());
    EXPECT_LE(place + size, buffer.data() + buffer.size());
    return place;
  }

  bool set(const std::vector<std::byte>& in) {
    const auto head = content<RpcSetTensor>(in);
    const std::string_view name(head.tensor.name);
    if (name == kHelloName) {
      const auto hello = content<WorkerHello>(in, sizeof(head));
      EXPECT_EQ(hello.split, AskedSplit::kLayers);
      ++connections_;
      return true;
    }
    if (name == kWarmName) {
      const std::lock_guard lock(mutex_);
      layers_.clear();
      for (size_t place = sizeof(head); place < in.size(); place += sizeof(WarmExpert)) {
        layers_.push_back(content<WarmExpert>(in, place).layer);
      }
      return true;
    }
    EXPECT_FALSE(name.starts_with(kReservedNames)) << name;
    const size_t size = in.size() - sizeof(head);
    EXPECT_LE(size, kMostPieceBytes);
    std::memcpy(at(head.tensor, head.offset, size), in.data() + sizeof(head), size);
    return true;
  }

  bool get(const RpcGetTensor& asked) {
    const std::string_view name(asked.tensor.name);
    if (name == kVerdictName) {
      WorkerVerdict verdict;
      verdict.identity = identity_;
      verdict.accepted = 1;
      verdict.layers = static_cast<uint32_t>(model_->layers);
      verdict.experts = 1;
      verdict.threads = 1;
      verdict.budget = verdict.peer_memory = memory_;
      return answer(verdict);
    }
    if (name == kReasonName) {
      const std::array<char, kReasonBytes> reason = {"it was told to"};
      return answer(reason);
    }
    if (name == kLayersStatusName) {
      const uint64_t more = fault_ == LayersFault::kWrongLength && graphs_ == fault_at_ + 1 ? 1 : 0;
      const std::array<LayersStatus, 2> all = {status_, {}};
      return answer(&all, sizeof(status_) + more, sizeof(status_) + more);
    }
    EXPECT_LE(asked.size, kMostPieceBytes);
    return answer(at(asked.tensor, asked.offset, asked.size), asked.size, asked.size);
  }

  bool take(const std::vector<std::byte>& in) {
    const auto device = content<uint32_t>(in);
    Graph& graph = kept_[device];
    EXPECT_LT(device, static_cast<uint32_t>(model_->layers));
    size_t place = sizeof(device);
    const auto nodes = content<uint32_t>(in, place);
    place += sizeof(nodes);
    graph.nodes.resize(nodes);
    std::memcpy(graph.nodes.data(), in.data() + place, nodes * sizeof(uint64_t));
    place += nodes * sizeof(uint64_t);
    const auto tensors = content<uint32_t>(in, place);
    place += sizeof(tensors);
    graph.tensors.resize(tensors);
    std::memcpy(graph.tensors.data(), in.data() + place, tensors * sizeof(RpcTensor));
    ++described_;
    return compute(device);
  }

  bool is_now(LayersFault fault) const { return fault_ == fault && graphs_ == fault_at_; }

  bool compute(uint32_t device) {
    if (is_now(LayersFault::kSilent)) {
      for (std::byte one; read(&one, 1);) {
      }
      return false;
    }
    if (is_now(LayersFault::kCloses)) {
      fault_ = LayersFault::kNone;
      return false;
    }
    if (is_now(LayersFault::kRefuses) || is_now(LayersFault::kFails)) {
      status_ = {fault_ == LayersFault::kFails ? ReplyStatus::kFailed : ReplyStatus::kRefused, 0, 0, 0, 0};
      return true;
    }
    run_graph(kept_.at(device));
    ++graphs_;
    ++status_.graphs;
    status_.status = ReplyStatus::kDone;
    return true;
  }

  void run_graph(const Graph& graph) {
    if (inner_ == nullptr) {
      inner_ = InnerGraph::create().value();
      inner_->set_threads(1);
    }
    const ggml_init_params params = {(graph.tensors.size() + 1) * ggml_tensor_overhead(), nullptr, true};
    const std::unique_ptr<ggml_context, decltype(&ggml_free)> context(ggml_init(params), ggml_free);
    std::map<uint64_t, ggml_tensor*> made;
    for (const RpcTensor& it : graph.tensors) {
      ggml_tensor* tensor = ggml_new_tensor_1d(context.get(), static_cast<ggml_type>(it.type), 1);
      made[uint64_t{it.id}] = tensor;
      for (size_t i = 0; i < kRpcDims; ++i) {
        tensor->ne[i] = it.ne[i];
        tensor->nb[i] = it.nb[i];
      }
      tensor->op = static_cast<ggml_op>(uint32_t{it.op});
      tensor->flags = it.flags;
      std::memcpy(tensor->op_params, it.op_params, sizeof(it.op_params));
      for (size_t i = 0; i < kRpcSources; ++i) {
        const uint64_t source = it.src[i];  // not by reference: messages align nothing
        tensor->src[i] = source == 0 ? nullptr : made.at(source);
      }
      const uint64_t shown = it.view_src;
      tensor->view_src = shown == 0 ? nullptr : made.at(shown);
      tensor->view_offs = it.view_offs;
      ggml_set_name(tensor, it.name);
      if (it.buffer != 0) {
        tensor->data = reinterpret_cast<void*>(uint64_t{it.data});
      } else if (tensor->view_src != nullptr) {
        tensor->data = static_cast<std::byte*>(tensor->view_src->data) + tensor->view_offs;
      } else {
        tensor->data = weight(it.name);
      }
    }
    for (const uint64_t node : graph.nodes) {
      if (inner_->is_full()) {
        EXPECT_EQ(inner_->run(), GGML_STATUS_SUCCESS);
      }
      inner_->add(made.at(node));
    }
    EXPECT_EQ(inner_->run(), GGML_STATUS_SUCCESS);
  }

  void* weight(const std::string& name) {
    std::vector<char>& bytes = weights_[name];
    const TensorInfo* info = model_->find(name);
    if (bytes.empty() && info != nullptr) {
      bytes.resize(info->extent.length);
      std::ifstream file(model_->files[info->extent.file].path, std::ios::binary);
      file.seekg(static_cast<std::streamoff>(info->extent.offset));
      file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    }
    EXPECT_FALSE(bytes.empty()) << name;
    return bytes.data();
  }

  static constexpr uint64_t kAlignment = 64;

  std::unique_ptr<const Model> model_;
  WorkerIdentity identity_;
  std::atomic<uint64_t> memory_{1ULL << 30};
  std::atomic<LayersFault> fault_{LayersFault::kNone};
  std::atomic<uint64_t> fault_at_{0};
  std::atomic<uint64_t> graphs_{0};
  std::atomic<uint64_t> described_{0};
  std::atomic<uint64_t> connections_{0};
  std::atomic<uint64_t> held_{0};
  std::atomic<uint64_t> received_{0};
  std::atomic<uint64_t> sent_{0};
  WorkerAddress address_;
  InterruptPipe stop_;
  int listener_ = -1;

  // Of the one connection.
  int client_ = -1;
  uint64_t last_buffer_ = 0;
  std::map<uint64_t, std::vector<std::byte>> buffers_;
  std::map<uint32_t, Graph> kept_;
  LayersStatus status_;
  std::unique_ptr<InnerGraph> inner_;
  std::map<std::string, std::vector<char>> weights_;

  std::mutex mutex_;
  std::vector<uint16_t> layers_;
  std::thread thread_;
};

}  // namespace hypura
