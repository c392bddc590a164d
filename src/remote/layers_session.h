// One connection to a worker that computes whole layers, from its greeting to its end (remote/protocol.h, "Whole
// layers").
//
// What is set is collected, and goes out with what is asked next, in one write. Every wait has a deadline. Belongs to
// one thread at a time. After a failure it is of no use any more.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "remote/worker_session.h"

namespace hypura {

// Memory of the worker's that is ours.
struct RemoteMemory {
  uint64_t buffer = 0;  // the worker's name of it
  uint64_t base = 0;    // its address there
};

// Some of that.
struct RemoteBytes {
  uint64_t buffer = 0;
  uint64_t address = 0;
};

// A graph as the worker is sent it.
struct RemoteGraph {
  std::vector<uint64_t> nodes;  // ids, in their order
  std::vector<RpcTensor> tensors;
};

class LayersSession {
 public:
  using Clock = WorkerSession::Clock;

  // As WorkerSession::open. `patience`: of all waits but that for a graph.
  static Result<LayersSession> open(const WorkerAddress& address, const WorkerHello& hello,
                                    std::chrono::milliseconds patience);

  const WorkerVerdict& verdict() const { return session_.verdict(); }
  const WorkerWay& way() const { return session_.way(); }
  bool has_ended() const { return session_.has_ended(); }  // any thread
  uint64_t sent_bytes() const { return session_.sent_bytes(); }
  uint64_t received_bytes() const { return session_.received_bytes(); }

  // Says which layers will be asked for, by their numbers, the most wanted first.
  Status keep(std::span<const uint16_t> layers);

  // Fails with kBudget when the worker has no such memory.
  Result<RemoteMemory> allocate(uint64_t bytes);
  Status release(const RemoteMemory& memory);
  Status clear(const RemoteMemory& memory, uint8_t value);

  Status set(const RemoteBytes& to, std::span<const std::byte> bytes);
  Status get(const RemoteBytes& from, std::span<std::byte> into);

  // Computes `graph`, or the one that was sent last for that number, less than verdict().layers, where it is nullptr;
  // and gets `output` when that is done. One write, one visit. Fails as WorkerSession::receive; what the worker made of
  // the graph is the result's status.
  Result<LayersStatus> compute(uint32_t number, const RemoteGraph* graph, const RemoteBytes& output,
                               std::span<std::byte> into, Clock::time_point deadline);

  // Why the worker last refused something; empty where it does not say.
  std::string reason();

 private:
  LayersSession(WorkerSession session, std::chrono::milliseconds patience)
      : session_(std::move(session)), patience_(patience) {}

  Clock::time_point soon() const { return Clock::now() + patience_; }
  Status post_and_receive(std::span<std::byte> into);
  Status flush();

  WorkerSession session_;
  std::chrono::milliseconds patience_;
};

}  // namespace hypura
