// One connection to a worker, from its greeting to its end (remote/protocol.h has what is said).
//
// Belongs to one thread at a time. After a failure it is of no use any more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "remote/peer_socket.h"
#include "remote/protocol.h"
#include "remote/rpc_wire.h"

namespace hypura {

// What the largest messages hold, of all layers.
struct WorkerRoom {
  uint32_t layers = 0;   // with experts
  uint32_t experts = 0;  // most in a layer
  uint32_t width = 0;    // floats of a row that is sent, at most
  uint32_t result = 0;   // of one that comes back
  uint32_t choices = 0;  // pairs of a pass, at most, in as many asks as it takes
};

// The way to a worker, as measured when it was connected. Seconds and bytes a second.
struct WorkerWay {
  double round_trip = 0;             // of an answer that takes no computing: half of them were shorter,
  double slow_round_trip = 0;        // and nine of ten
  double send_bytes_per_second = 0;  // to the worker
  double receive_bytes_per_second = 0;
};

// A worker as it was found.
struct FoundWorker {
  std::string name;                      // its address
  std::optional<WorkerVerdict> verdict;  // what it says of itself; none: it does not help
  WorkerWay way;
  std::string why;  // it does not
};

// What asks for a layer and replies to them hold.
struct WorkerRows {
  uint32_t device = 0;   // of the worker's, one for each layer
  uint32_t experts = 0;  // of the layer
  uint32_t width = 0;    // as in WorkerRoom
  uint32_t result = 0;
};

// A layer's experts as a graph for a worker: where the tensors kAskName and kReplyName lie is filled in when it is
// sent.
struct WorkerBlock {
  WorkerRows rows;
  std::vector<RpcTensor> tensors;
  std::vector<uint64_t> nodes;  // ids of those that are computed, in their order
};

// How much is asked for.
struct AskShape {
  uint32_t pairs = 0;
  uint32_t tokens = 0;  // rows
  bool prompt = false;
};

// Where an ask is written.
struct AskSpace {
  std::span<std::byte> pairs;  // AskedPair each
  std::span<std::byte> rows;   // floats
};

// Valid until the next ask.
struct WorkerReply {
  Reply head;
  std::span<const std::byte> map;
  std::span<const std::byte> rows;
};

class WorkerSession {
 public:
  using Clock = PeerSocket::Clock;

  // Of an ask's messages, what is not its ask_bytes().
  static constexpr uint64_t kAskHeads =
      3 * kRpcRequestHead + sizeof(RpcSetTensor) + sizeof(RpcGraphRecompute) + sizeof(RpcGetTensor);

  // Bytes that messages take here, at most.
  static uint64_t bytes_for(const WorkerRoom& room);

  // Connects, greets, and measures the way, for which it takes a fifth of a second, or as long as the fewest messages
  // take that tell something. Fails with kIo when there is no answer by the deadline, with kUsage when the worker must
  // not compute for us: it, or we, say why.
  static Result<WorkerSession> open(const WorkerAddress& address, const WorkerHello& hello, const WorkerRoom& room,
                                    Clock::time_point deadline, const InterruptPipe* interrupt);

  const WorkerVerdict& verdict() const { return verdict_; }

  // Of an ask. The graphs of all blocks are for so many rows.
  uint32_t most_pairs() const { return most_pairs_; }

  const WorkerWay& way() const { return way_; }

  // Sends the graph of a layer, and asks for what the worker has of it in memory, which receive() gives.
  Status introduce(const WorkerBlock& block);

  // Adds an ask for a layer that was introduced to the message; what is to be written there must be before anything
  // else is called. At most most_pairs() of either. All replies to what was posted before must have been received.
  AskSpace add_ask(const WorkerRows& layer, const AskShape& shape);

  // The same, of the rows of the ask before in the same message; gives where its pairs are written.
  std::span<std::byte> add_ask_of_same_rows(const WorkerRows& layer, const AskShape& shape);

  // Adds that the ask after the next will want these, of one layer.
  void add_ahead(std::span<const WarmExpert> experts);

  // Says what it had better have in memory, the most wanted first, and waits until it has read that. Fails as
  // receive().
  Status warm(std::span<const WarmExpert> experts, Clock::time_point deadline);

  // Sends the message, in one write as far as the system takes it.
  Status post() { return send(); }

  // The reply to the first ask that was not replied to yet, whatever its status. Fails with kIo at the deadline, or
  // when it is none.
  Result<WorkerReply> receive(Clock::time_point deadline);

  // Whether receive() would not wait. Lets what is under way go on. Fails as receive().
  Result<bool> arrived();

  // Why the worker last refused something; empty where it does not say.
  std::string reason(Clock::time_point deadline);

  uint64_t sent_bytes() const { return sent_; }
  uint64_t received_bytes() const { return received_; }

  // Whether the worker has gone, as far as the system knows. Any thread.
  bool has_ended() const { return connection_.has_ended(); }

  // --- whole layers (LayersSession) ---

  // What post() sends next: empty where the message before has gone out. All of that must have been answered.
  RpcRequests& message();

  // Bytes of the worker's memory, as a tensor without a name, or with a reserved one.
  static RpcTensor memory(uint64_t buffer, uint64_t address, uint64_t bytes, std::string_view name = {});

  // The worker's memory that its greeting lay in, for what has a reserved name.
  RpcTensor reserved(std::string_view name, uint64_t bytes) const { return raw(name, ask_address_, bytes); }

  // The next answer, which must be of that length. Fails as receive().
  Status receive_answer(std::span<std::byte> into, Clock::time_point deadline) {
    return answer(into, deadline, nullptr);
  }

 private:
  explicit WorkerSession(PeerSocket connection) : connection_(std::move(connection)) {}

  Status greet(const WorkerHello& hello, const WorkerRoom& room, Clock::time_point deadline,
               const InterruptPipe* interrupt);
  Status allocate(const WorkerRoom& room, Clock::time_point deadline, const InterruptPipe* interrupt);
  Status check(const WorkerHello& hello, const WorkerRoom& room);
  Result<double> time_answer(size_t bytes, Clock::time_point deadline, const InterruptPipe* interrupt);
  Status measure_round_trip(Clock::time_point deadline, const InterruptPipe* interrupt);
  Status measure_bandwidth(bool sending, uint64_t most, Clock::time_point deadline, const InterruptPipe* interrupt);
  RpcTensor raw(std::string_view name, uint64_t address, uint64_t bytes) const;
  void begin_message();
  std::span<std::byte> add_ask_head(const WorkerRows& layer, const AskShape& shape, uint64_t bytes);
  std::span<std::byte> add_ask_message(const WorkerRows& layer, const AskShape& shape, uint64_t bytes);
  void add_reply(const WorkerRows& layer, uint32_t pairs);
  Status check_length() const;
  Status answer(std::span<std::byte> into, Clock::time_point deadline, const InterruptPipe* interrupt);
  template <class Answer>
  Result<Answer> answer(Clock::time_point deadline, const InterruptPipe* interrupt);
  Status send();

  PeerSocket connection_;
  WorkerVerdict verdict_;
  AskedSplit split_ = AskedSplit::kParts;
  uint32_t most_pairs_ = 0;
  WorkerWay way_;
  uint64_t buffer_ = 0;  // the worker's name of the memory there, for asks and behind them replies
  uint64_t ask_address_ = 0;
  uint64_t reply_address_ = 0;

  struct Awaited {
    uint32_t number = 0;  // of the ask
    uint32_t pairs = 0;
    uint32_t experts = 0;  // of its layer
    uint64_t bytes = 0;
  };

  RpcRequests requests_;
  bool posted_ = false;           // what is in these
  uint32_t number_ = 0;           // of the last ask
  std::deque<Awaited> awaited_;   // replies, in their order
  std::vector<std::byte> reply_;  // the first of these, its length before it
  size_t got_ = 0;                // bytes of that
  uint64_t sent_ = 0;
  uint64_t received_ = 0;
};

}  // namespace hypura
