// For tests: a worker in this process, on the loopback interface, that computes rows by a given function; and one that
// does not do as it should.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "remote/interrupt_pipe.h"
#include "remote/protocol.h"
#include "remote/rpc_wire.h"
#include "remote/socket_options.h"
#include "remote/worker_address.h"

namespace hypura {

// What a fake worker does with its fault_at-th ask; and from then on, in other connections, again what it should.
enum class WorkerFault {
  kNone,
  kSilent,       // never answers
  kCloses,       // in the middle of its answer
  kGarbage,      // answers with bytes that are none of the protocol's
  kWrongLength,  // answers one byte too many
  kRefuses,
};

class FakeWorker {
 public:
  // An ask: fills a row for each pair.
  struct Work {
    uint32_t device = 0;
    std::span<const RpcTensor> tensors;  // of the layer's graph
    std::span<const uint64_t> nodes;     // of these, by id, what is computed
    std::span<const AskedPair> pairs;
    std::span<const float> rows;  // [token][width]
    uint32_t width = 0;
    uint32_t result = 0;
  };
  using Compute = std::function<void(const Work&, std::span<float>)>;

  struct Manner {
    WorkerIdentity identity;
    uint32_t layers = 1;
    uint32_t experts = 8;
    uint32_t most_pairs = kMostPairs;
    uint32_t layer_slots = 4;   // experts that it keeps of each layer
    double expert_seconds = 0;  // that it says to take for one
    uint64_t peer_memory = 0;   // that it says to have for whole layers, which it does not compute
    uint32_t threads = 1;       // that it says to compute with
    std::string refusal;        // of every hello; empty: by identity alone
    bool greets = true;         // false: it accepts connections and says nothing
    WorkerFault fault = WorkerFault::kNone;
    uint64_t fault_at = 0;
  };

  explicit FakeWorker(Manner manner, Compute compute = {})
      : manner_(std::move(manner)), compute_(std::move(compute)), stop_(InterruptPipe::create().value()) {
    listen();
    thread_ = std::thread([this] { run(); });
  }

  ~FakeWorker() { stop(); }

  WorkerAddress address() const { return {"127.0.0.1", port_}; }
  uint64_t asks() const { return asks_; }                // that had pairs
  uint64_t prompt_asks() const { return prompt_asks_; }  // of these, of prompts
  uint64_t ahead() const { return ahead_; }              // experts that were to be read ahead
  uint64_t connections() const { return connections_; }
  // What it was last told to have in memory.
  std::vector<WarmExpert> warm() {
    const std::lock_guard lock(mutex_);
    return warm_;
  }
  uint64_t received_bytes() const { return received_; }
  uint64_t sent_bytes() const { return sent_; }

  // From now on asks with pairs are not answered until release().
  void hold() {
    const std::lock_guard lock(mutex_);
    held_ = true;
  }
  // Waits until one is held.
  void wait_until_held() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return waiting_; });
  }
  void release() {
    const std::lock_guard lock(mutex_);
    held_ = false;
    changed_.notify_all();
  }

  // Ends it and all its connections, as a process that is killed.
  void stop() {
    if (!thread_.joinable()) {
      return;
    }
    stop_.set();
    release();
    thread_.join();
    ::close(listener_);
  }

 private:
  // Of one connection.
  struct Layer {
    std::vector<RpcTensor> tensors;
    std::vector<uint64_t> nodes;
    uint32_t width = 0;
    uint32_t result = 0;
    uint32_t rows = 0;  // of a graph
    uint32_t experts = 0;
  };

  static constexpr uint64_t kBase = 1 << 20;
  static constexpr uint64_t kBuffer = 77;

  void listen() {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in any = {};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(any);
    ASSERT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&any), size), 0);
    ASSERT_EQ(::listen(listener_, 1), 0);
    ASSERT_EQ(::getsockname(listener_, reinterpret_cast<sockaddr*>(&any), &size), 0);
    port_ = ntohs(any.sin_port);
  }

  // False when the worker is to end.
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
      ++connections_;
      layers_.clear();
      if (manner_.greets) {
        while (serve_one()) {
        }
      } else {
        wait_until_closed();
      }
      ::close(client_);
    }
  }

  bool read(void* into, size_t size) {
    auto* bytes = static_cast<std::byte*>(into);
    while (size > 0) {
      if (!wait(client_)) {
        return false;
      }
      const ssize_t got = ::recv(client_, bytes, size, 0);
      if (got <= 0) {
        return false;
      }
      received_ += static_cast<uint64_t>(got);
      bytes += got;
      size -= static_cast<size_t>(got);
    }
    return true;
  }

  void wait_until_closed() {
    for (std::byte one; read(&one, 1);) {
    }
  }

  bool write(const void* from, size_t size) {
    const auto* bytes = static_cast<const std::byte*>(from);
    sent_ += size;  // before: who reads it may look at once
    while (size > 0) {
      const ssize_t put = ::send(client_, bytes, size, kSendFlags);
      if (put <= 0) {
        return false;
      }
      bytes += put;
      size -= static_cast<size_t>(put);
    }
    return true;
  }

  bool answer(const void* from, uint64_t size) {
    const auto* head = reinterpret_cast<const std::byte*>(&size);
    const auto* bytes = static_cast<const std::byte*>(from);
    std::vector<std::byte> all(head, head + sizeof(size));
    all.insert(all.end(), bytes, bytes + size);
    return write(all.data(), all.size());
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
        return answer(&hello, sizeof(hello));
      }
      case RpcCommand::kAllocBuffer: {
        const auto asked = content<RpcAllocBuffer>(in);
        memory_.assign(asked.size, std::byte{0});
        const RpcAllocBufferAnswer memory = {kBuffer, asked.size};
        return answer(&memory, sizeof(memory));
      }
      case RpcCommand::kBufferGetBase: {
        const RpcBufferGetBaseAnswer base = {kBase};
        return answer(&base, sizeof(base));
      }
      case RpcCommand::kSetTensor:
        return set(in);
      case RpcCommand::kGetTensor:
        return get(content<RpcGetTensor>(in));
      case RpcCommand::kGraphCompute:
        return take_graph(in);
      case RpcCommand::kGraphRecompute:
        return compute(content<RpcGraphRecompute>(in).device);
      case RpcCommand::kFreeBuffer:
      case RpcCommand::kBufferClear:
      case RpcCommand::kCopyTensor:  // of whole layers
        break;
    }
    ADD_FAILURE() << "command " << int{command} << " is none of the protocol's";
    return false;
  }

  std::byte* at(uint64_t address, uint64_t size) {
    EXPECT_GE(address, kBase);
    EXPECT_LE(address - kBase + size, memory_.size());
    return memory_.data() + (address - kBase);
  }

  bool set(const std::vector<std::byte>& in) {
    const auto head = content<RpcSetTensor>(in);
    const size_t size = in.size() - sizeof(head);
    if (std::string_view(head.tensor.name) == kAheadName) {
      EXPECT_EQ(size % sizeof(WarmExpert), 0U);
      ahead_ += size / sizeof(WarmExpert);
      return true;
    }
    if (std::string_view(head.tensor.name) == kWarmName) {
      const std::lock_guard lock(mutex_);
      warm_.resize(size / sizeof(WarmExpert));
      std::copy_n(in.data() + sizeof(head), size, reinterpret_cast<std::byte*>(warm_.data()));
      return true;
    }
    std::copy_n(in.data() + sizeof(head), size, at(head.tensor.data, size));
    if (std::string_view(head.tensor.name) == kAskName) {
      ask_address_ = head.tensor.data;
      return true;
    }
    if (std::string_view(head.tensor.name).empty()) {  // whole layers' way is measured so
      return true;
    }
    EXPECT_EQ(std::string_view(head.tensor.name), kHelloName);
    EXPECT_EQ(size, sizeof(WorkerHello));
    hello_ = content<WorkerHello>(in, sizeof(head));
    return true;
  }

  bool get(const RpcGetTensor& asked) {
    const std::string_view name(asked.tensor.name);
    if (name == kVerdictName) {
      const WorkerVerdict verdict = judge();
      return answer(&verdict, sizeof(verdict));
    }
    if (name == kReasonName) {
      std::array<char, kReasonBytes> why = {"it is told to refuse"};
      return answer(why.data(), why.size());
    }
    if (name.empty()) {
      return answer(at(asked.tensor.data, asked.size), asked.size);
    }
    EXPECT_EQ(name, kReplyName);
    std::vector<std::byte> reply(at(asked.tensor.data, asked.size), at(asked.tensor.data, asked.size) + asked.size);
    switch (faults_now()) {
      case WorkerFault::kSilent:
        wait_until_closed();
        return false;
      case WorkerFault::kCloses:
        write(&asked.size, sizeof(asked.size));
        write(reply.data(), reply.size() / 2);
        return false;
      case WorkerFault::kGarbage:
        std::ranges::fill(reply, std::byte{0xa5});
        return write(reply.data(), reply.size());
      case WorkerFault::kWrongLength:
        reply.push_back(std::byte{0});
        return answer(reply.data(), reply.size());
      default:
        return answer(reply.data(), reply.size());
    }
  }

  WorkerFault faults_now() {
    const bool now = manner_.fault != WorkerFault::kNone && asks_ == manner_.fault_at && asks_ > 0 && !faulted_;
    faulted_ = faulted_ || now;
    return now ? manner_.fault : WorkerFault::kNone;
  }

  WorkerVerdict judge() const {
    WorkerVerdict verdict;
    verdict.identity = manner_.identity;
    const std::string why = manner_.refusal.empty() ? hello_refusal(manner_.identity, hello_) : manner_.refusal;
    verdict.accepted = why.empty() ? 1 : 0;
    verdict.layers = manner_.layers;
    verdict.experts = manner_.experts;
    verdict.slots = manner_.layers * manner_.layer_slots;
    verdict.most_pairs = manner_.most_pairs;
    verdict.threads = manner_.threads;
    verdict.peer_memory = manner_.peer_memory;
    verdict.expert_seconds = verdict.row_seconds = manner_.expert_seconds;
    std::copy_n(why.begin(), std::min(why.size(), verdict.sentence.size() - 1), verdict.sentence.begin());
    return verdict;
  }

  bool take_graph(const std::vector<std::byte>& in) {
    const auto device = content<uint32_t>(in);
    const auto nodes = content<uint32_t>(in, 4);
    const size_t first = 8 + nodes * sizeof(uint64_t) + sizeof(uint32_t);
    Layer layer;
    for (uint32_t i = 0; i < nodes; ++i) {
      layer.nodes.push_back(content<uint64_t>(in, 8 + i * sizeof(uint64_t)));
    }
    layer.experts = manner_.experts;
    for (size_t offset = first; offset + sizeof(RpcTensor) <= in.size(); offset += sizeof(RpcTensor)) {
      const auto tensor = content<RpcTensor>(in, offset);
      layer.tensors.push_back(tensor);
      const std::string_view name(tensor.name);
      if (name == kAskName) {
        layer.width = tensor.ne[0];
        layer.rows = tensor.ne[2];
      } else if (name == kReplyName) {
        layer.result = tensor.ne[0];
        reply_address_ = tensor.data;
      }
    }
    EXPECT_GT(layer.width, 0U);
    EXPECT_GT(layer.result, 0U);
    EXPECT_LT(device, manner_.layers);
    layers_[device] = layer;
    return compute(device);
  }

  template <typename T>
  void read(std::vector<T>& to, uint64_t address) {
    const std::span<std::byte> bytes = std::as_writable_bytes(std::span(to));
    std::copy_n(at(address, bytes.size()), bytes.size(), bytes.data());
  }

  bool compute(uint32_t device) {
    const Layer& layer = layers_[device];
    Ask ask;
    std::memcpy(&ask, at(ask_address_, sizeof(ask)), sizeof(ask));
    EXPECT_LE(ask.pairs, layer.rows);
    if (ask.pairs > 0) {
      ++asks_;
      prompt_asks_ += ask.prompt;
      wait_for_release();
    }
    std::vector<AskedPair> pairs(ask.pairs);
    read(pairs, ask_address_ + sizeof(ask));
    std::vector<float> rows(size_t{ask.tokens} * layer.width);
    read(rows, ask_address_ + ask_rows_offset(layer.rows));
    const bool refuses = ask.pairs > 0 && manner_.fault == WorkerFault::kRefuses && faults_now() != WorkerFault::kNone;
    Reply reply;
    reply.number = ask.number;
    reply.status = refuses ? ReplyStatus::kRefused : ReplyStatus::kDone;
    reply.pairs = ask.pairs;
    count(device, pairs, reply);
    std::byte* to = at(reply_address_, reply_bytes(layer.experts, ask.pairs, layer.result));
    std::memcpy(to, &reply, sizeof(reply));
    std::memset(to + sizeof(reply), 0, map_bytes(layer.experts));
    for (const uint32_t expert : kept_[device]) {
      to[sizeof(reply) + expert / 8] |= std::byte{1} << (expert % 8);
    }
    std::vector<float> results(size_t{ask.pairs} * layer.result);
    if (ask.pairs > 0 && compute_) {
      compute_({device, layer.tensors, layer.nodes, pairs, rows, layer.width, layer.result}, results);
    }
    std::ranges::copy(std::as_bytes(std::span(results)), to + reply_rows_offset(layer.experts));
    return true;
  }

  // What is asked for is kept, and the oldest goes.
  void count(uint32_t device, const std::vector<AskedPair>& pairs, Reply& reply) {
    std::vector<uint32_t>& kept = kept_[device];
    std::set<uint32_t> asked;
    for (const AskedPair& pair : pairs) {
      asked.insert(static_cast<uint32_t>(pair.expert));
    }
    reply.experts = static_cast<uint32_t>(asked.size());
    for (const uint32_t expert : asked) {
      const auto it = std::ranges::find(kept, expert);
      reply.hits += it == kept.end() ? 0 : 1;
      if (it != kept.end()) {
        kept.erase(it);
      }
      kept.push_back(expert);
    }
    while (kept.size() > manner_.layer_slots) {
      kept.erase(kept.begin());
    }
  }

  void wait_for_release() {
    std::unique_lock lock(mutex_);
    waiting_ = held_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !held_; });
    waiting_ = false;
  }

  const Manner manner_;
  const Compute compute_;
  const InterruptPipe stop_;
  int listener_ = -1;
  int client_ = -1;
  uint16_t port_ = 0;
  std::atomic<uint64_t> asks_{0};
  std::atomic<uint64_t> prompt_asks_{0};
  std::atomic<uint64_t> ahead_{0};
  std::atomic<uint64_t> connections_{0};
  std::atomic<uint64_t> received_{0};
  std::atomic<uint64_t> sent_{0};

  // Of the worker's thread.
  std::vector<std::byte> memory_;
  WorkerHello hello_;
  std::map<uint32_t, Layer> layers_;
  std::map<uint32_t, std::vector<uint32_t>> kept_;  // by device, the oldest first; its cache outlives connections
  uint64_t ask_address_ = kBase;
  uint64_t reply_address_ = kBase;
  bool faulted_ = false;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::vector<WarmExpert> warm_;
  bool held_ = false;
  bool waiting_ = false;
  std::thread thread_;
};

}  // namespace hypura
