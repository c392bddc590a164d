// For tests: a worker of the demo model, or another, that serves on a port of its own, and what asks of it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <span>
#include <thread>
#include <utility>

#include "load/open_worker.h"
#include "load/worker_peer_for_test.h"
#include "support/environment_for_test.h"
#include "support/temp_dir_for_test.h"
#include "support/units.h"

namespace hypura {

inline const std::filesystem::path kDemoModel =
    std::filesystem::path(HYPURA_SOURCE_DIR) / "models" / "hypura-stories-moe.gguf";

class ServingWorker {
 public:
  explicit ServingWorker(uint64_t memory = 16 * kMiB, std::chrono::milliseconds greeting = std::chrono::seconds(60),
                         const std::filesystem::path& model = kDemoModel) {
    // Without what other runs used: that would be read while probes look at what is in slots.
    const TempDir empty;
    const EnvironmentVariable caches("XDG_CACHE_HOME", empty.path().c_str());
    WorkerRequest request;
    request.model = model;
    request.memory = memory;
    request.threads = 1;
    auto worker = open_worker(request);
    EXPECT_TRUE(worker) << worker.error().message;
    worker_ = std::move(*worker);
    fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<const sockaddr*>(&address), length), 0);
    EXPECT_EQ(::listen(fd_, 64), 0);
    EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length), 0);
    port_ = ntohs(address.sin_port);
    RpcListener listener;
    listener.fd = fd_;
    listener.greeting = greeting;
    thread_ = std::thread([this, listener] {
      start_worker(*worker_);
      serve_worker(*worker_, listener);
    });
  }
  ~ServingWorker() {
    stop();
    ::close(fd_);
  }

  // Its one client must have gone.
  void stop() {
    if (thread_.joinable()) {
      ::shutdown(fd_, SHUT_RDWR);
      thread_.join();
    }
  }

  uint16_t port() const { return port_; }
  OpenWorker& worker() { return *worker_; }
  const Model& model() const { return *worker_->model; }

  WorkerHello hello() const {
    WorkerHello hello;
    hello.identity = worker_->facts.identity;
    return hello;
  }

 private:
  std::unique_ptr<OpenWorker> worker_;
  int fd_ = -1;
  uint16_t port_ = 0;
  std::thread thread_;
};

// One for all probes: after each it must serve as before.
class WorkerServer : public testing::Test {
 protected:
  static void SetUpTestSuite() { serving_ = new ServingWorker(); }
  static void TearDownTestSuite() {
    serving_->stop();
    EXPECT_EQ(serving_->worker().device->peer_bytes(), 0U) << "buffers of peers that have gone";
    delete serving_;
  }

  static constexpr uint32_t kPairs = 16;
  static constexpr uint64_t kBuffer = 4 * kMiB;

  void greet(WorkerPeer& peer) {
    ASSERT_TRUE(peer.connected() && peer.allocate(kBuffer));
    const auto verdict = peer.greet(serving_->hello());
    ASSERT_TRUE(verdict);
    ASSERT_EQ(verdict->accepted, 1U) << verdict->sentence.data();
  }

  static std::vector<float> random_rows(uint64_t width, uint64_t rows) {
    std::mt19937 generator(11);
    std::normal_distribution<float> numbers;
    std::vector<float> values(width * rows);
    for (float& it : values) {
      it = numbers(generator);
    }
    return values;
  }

  static std::vector<std::byte> ask_of(const PeerBlock& block, uint32_t number, const std::vector<AskedPair>& pairs,
                                       uint32_t tokens, const std::vector<float>& rows) {
    std::vector<std::byte> bytes(ask_bytes(block.pairs, tokens, block.width));
    const Ask ask = {number, static_cast<uint32_t>(pairs.size()), tokens, 0};
    std::memcpy(bytes.data(), &ask, sizeof(ask));
    if (!pairs.empty()) {
      std::memcpy(bytes.data() + sizeof(ask), pairs.data(), pairs.size() * sizeof(AskedPair));
      std::memcpy(bytes.data() + ask_rows_offset(block.pairs), rows.data(), tokens * block.width * sizeof(float));
    }
    return bytes;
  }

  struct Answer {
    Reply head;
    std::vector<float> rows;
    std::vector<bool> map;
  };

  // In one write, as a client asks: the graph the first time.
  static std::optional<Answer> ask(WorkerPeer& peer, const PeerBlock& block, std::span<const std::byte> ask,
                                   bool first) {
    Ask sent;
    std::memcpy(&sent, ask.data(), sizeof(sent));
    peer.set(kAskName, 0, ask);
    if (first) {
      peer.requests().add_graph(0, block.nodes, block.tensors);
    } else {
      peer.requests().add(RpcCommand::kGraphRecompute, RpcGraphRecompute{0});
    }
    const auto bytes = peer.get(kReplyName, block.reply_at, reply_bytes(block.experts, sent.pairs, block.width));
    if (!bytes) {
      return std::nullopt;
    }
    Answer answer;
    std::memcpy(&answer.head, bytes->data(), sizeof(Reply));
    for (uint32_t expert = 0; expert < block.experts; ++expert) {
      answer.map.push_back((std::to_integer<int>((*bytes)[sizeof(Reply) + expert / 8]) >> (expert % 8) & 1) != 0);
    }
    answer.rows.resize(sent.pairs * block.width);
    const std::span<std::byte> rows = std::as_writable_bytes(std::span(answer.rows));
    std::copy_n(bytes->data() + reply_rows_offset(block.experts), rows.size(), rows.data());
    return answer;
  }

  // What a change of the block is answered with.
  ReplyStatus status_of(const std::function<void(PeerBlock&)>& change) {
    WorkerPeer peer(serving_->port());
    greet(peer);
    PeerBlock block(serving_->model(), 0, kPairs, peer);
    change(block);
    const auto answer = ask(peer, block, ask_of(block, 5, {{0, 0}}, 1, random_rows(block.width, 1)), true);
    if (!answer) {
      return ReplyStatus::kRefused;
    }
    EXPECT_TRUE(answer->head.number == 5 || answer->head.status == ReplyStatus::kRefused);
    return answer->head.status;
  }

  // It still serves, and right.
  void expect_alive() {
    EXPECT_EQ(status_of([](PeerBlock&) {}), ReplyStatus::kDone);
  }

  inline static ServingWorker* serving_ = nullptr;
};

}  // namespace hypura
