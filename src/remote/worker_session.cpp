#include "remote/worker_session.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>

#include "support/fail.h"
#include "support/printable.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr uint64_t kPlace = 64;  // bytes that an ask and a reply lie at multiples of
constexpr size_t kGraphBytes = 2 * kMostNodes * sizeof(RpcTensor) + 4096;
constexpr size_t kAskHeads = 4 * (kRpcRequestHead + sizeof(RpcSetTensor)) + sizeof(Ask);  // of an ask's requests

// As many pairs as the worker's memory for a connection is enough for.
uint32_t pairs_that_fit(const WorkerRoom& room) {
  uint32_t pairs = kMostPairs;
  while (pairs > 1 && ask_bytes(pairs, pairs, room.width) + reply_bytes(room.experts, pairs, room.result) + 2 * kPlace >
                          kMostBufferBytes) {
    pairs /= 2;
  }
  return pairs;
}

uint64_t ask_space(const WorkerRoom& room, uint32_t pairs) {
  return round_up(std::max<uint64_t>({ask_bytes(pairs, pairs, room.width), sizeof(WorkerHello), kReasonBytes}), kPlace);
}

uint64_t reply_space(const WorkerRoom& room, uint32_t pairs) {
  return std::max<uint64_t>(reply_bytes(room.experts, pairs, room.result), sizeof(WorkerVerdict));
}

template <size_t N>
std::string text_in(const std::array<char, N>& from) {
  return printable({from.begin(), std::find(from.begin(), from.end(), '\0')});
}

}  // namespace

uint64_t WorkerSession::bytes_for(const WorkerRoom& room) {
  const uint32_t pairs = pairs_that_fit(room);
  const uint64_t asks = 2 * round_up(room.choices, pairs) / pairs;  // no two that follow each other would fit into one
  return ask_space(room, pairs) + reply_space(room, pairs) + kGraphBytes + asks * kAskHeads +
         room.choices * (sizeof(AskedPair) + sizeof(WarmExpert));
}

Result<WorkerSession> WorkerSession::open(const WorkerAddress& address, const WorkerHello& hello,
                                          const WorkerRoom& room, Clock::time_point deadline,
                                          const InterruptPipe* interrupt) {
  auto connection = PeerSocket::open(address, deadline, interrupt);
  if (!connection) {
    return propagate(connection.error());
  }
  WorkerSession session(std::move(*connection));
  session.split_ = hello.split;
  Status status = session.greet(hello, room, deadline, interrupt);
  if (status) {
    status = session.measure_round_trip(deadline, interrupt);
  }
  const uint32_t pairs = pairs_that_fit(room);
  if (status) {
    status = session.measure_bandwidth(true, ask_space(room, pairs), deadline, interrupt);
  }
  if (status) {
    status = session.measure_bandwidth(false, reply_space(room, pairs), deadline, interrupt);
  }
  return status ? Result<WorkerSession>(std::move(session)) : propagate(status.error());
}

Status WorkerSession::greet(const WorkerHello& hello, const WorkerRoom& room, Clock::time_point deadline,
                            const InterruptPipe* interrupt) {
  requests_.clear();
  requests_.add(RpcCommand::kHello, RpcHello());
  if (Status status = send(); !status) {
    return status;
  }
  const auto version = answer<RpcHelloAnswer>(deadline, interrupt);
  if (!version) {
    return propagate(version.error(), "no greeting; a worker serves one machine at a time");
  }
  if (version->major != kRpcMajor || version->minor < kRpcMinor) {
    return fail(ErrorCode::kUsage,
                "it speaks version {}.{} of llama.cpp's RPC protocol, and this program {}.{}: install the same Hypura "
                "on both machines",
                version->major, version->minor, kRpcMajor, kRpcMinor);
  }
  if (Status status = allocate(room, deadline, interrupt); !status) {
    return status;
  }
  requests_.clear();
  std::memcpy(requests_.add_set_tensor(raw(kHelloName, ask_address_, sizeof(hello)), sizeof(hello)).data(), &hello,
              sizeof(hello));
  const RpcTensor verdict = raw(kVerdictName, reply_address_, sizeof(WorkerVerdict));
  requests_.add(RpcCommand::kGetTensor, RpcGetTensor{verdict, 0, sizeof(WorkerVerdict)});
  if (Status status = send(); !status) {
    return status;
  }
  const auto said = answer<WorkerVerdict>(deadline, interrupt);
  if (!said) {
    return propagate(said.error(), "it did not say who it is");
  }
  verdict_ = *said;
  return check(hello, room);
}

// Memory of the worker's for what is sent and what comes back.
Status WorkerSession::allocate(const WorkerRoom& room, Clock::time_point deadline, const InterruptPipe* interrupt) {
  most_pairs_ = pairs_that_fit(room);
  const uint64_t ask = ask_space(room, most_pairs_);
  requests_.clear();
  requests_.add(RpcCommand::kAllocBuffer, RpcAllocBuffer{0, ask + reply_space(room, most_pairs_)});
  if (Status status = send(); !status) {
    return status;
  }
  const auto memory = answer<RpcAllocBufferAnswer>(deadline, interrupt);
  if (!memory) {
    return propagate(memory.error());
  }
  if (memory->buffer == 0 || memory->size < ask + reply_space(room, most_pairs_)) {
    return fail(ErrorCode::kIo, "it has no memory for what is sent");
  }
  buffer_ = memory->buffer;
  requests_.clear();
  requests_.add(RpcCommand::kBufferGetBase, RpcBufferGetBase{buffer_});
  if (Status status = send(); !status) {
    return status;
  }
  const auto base = answer<RpcBufferGetBaseAnswer>(deadline, interrupt);
  if (!base) {
    return propagate(base.error());
  }
  ask_address_ = base->base;
  reply_address_ = base->base + ask;
  return {};
}

// The worker decides, and so do we: it may be of another version, or not tell the truth about others.
Status WorkerSession::check(const WorkerHello& hello, const WorkerRoom& room) {
  if (verdict_.accepted == 0) {
    const std::string why = text_in(verdict_.sentence);
    return fail(ErrorCode::kUsage, "{}", why.empty() ? "it refuses, and does not say why" : why);
  }
  if (const std::string refusal = hello_refusal(verdict_.identity, hello); !refusal.empty()) {
    return fail(ErrorCode::kUsage, "{}", refusal);
  }
  if (split_ == AskedSplit::kLayers) {
    return verdict_.peer_memory > 0 && verdict_.layers > 0
               ? Status()
               : fail(ErrorCode::kUsage, "it computes no whole layers of this model");
  }
  if (verdict_.layers < room.layers || verdict_.experts < room.experts || verdict_.most_pairs == 0) {
    return fail(ErrorCode::kUsage, "it has {} layers of {} experts, and the model has {} of {}", verdict_.layers,
                verdict_.experts, room.layers, room.experts);
  }
  most_pairs_ = std::min(most_pairs_, verdict_.most_pairs);
  return {};
}

RpcTensor WorkerSession::raw(std::string_view name, uint64_t address, uint64_t bytes) const {
  return memory(buffer_, address, bytes, name);
}

RpcRequests& WorkerSession::message() {
  begin_message();
  return requests_;
}

RpcTensor WorkerSession::memory(uint64_t buffer, uint64_t address, uint64_t bytes, std::string_view name) {
  RpcTensor tensor;
  tensor.id = 1;
  tensor.type = kRpcI8;
  tensor.buffer = buffer;
  tensor.set_shape(1, {static_cast<uint32_t>(bytes), 1, 1, 1});
  tensor.data = address;
  tensor.set_name(name);
  return tensor;
}

// What was posted before has gone out, since all of it was replied to.
void WorkerSession::begin_message() {
  if (std::exchange(posted_, false)) {
    requests_.clear();
  }
}

std::span<std::byte> WorkerSession::add_ask_head(const WorkerRows& layer, const AskShape& shape, uint64_t bytes) {
  const std::span<std::byte> space = requests_.add_set_tensor(raw(kAskName, ask_address_, bytes), bytes);
  number_ = number_ == UINT32_MAX ? 1 : number_ + 1;
  const Ask ask = {number_, shape.pairs, shape.tokens, shape.prompt ? 1U : 0U};
  std::memcpy(space.data(), &ask, sizeof(ask));
  awaited_.push_back({number_, shape.pairs, layer.experts, reply_bytes(layer.experts, shape.pairs, layer.result)});
  return space;
}

// What is added behind the ask may move it: it is given by its place.
std::span<std::byte> WorkerSession::add_ask_message(const WorkerRows& layer, const AskShape& shape, uint64_t bytes) {
  begin_message();
  const std::span<std::byte> space = add_ask_head(layer, shape, bytes);
  const auto at = static_cast<size_t>(space.data() - requests_.bytes().data());
  requests_.add(RpcCommand::kGraphRecompute, RpcGraphRecompute{layer.device});
  add_reply(layer, shape.pairs);
  return requests_.bytes_at(at, bytes);
}

AskSpace WorkerSession::add_ask(const WorkerRows& layer, const AskShape& shape) {
  const std::span<std::byte> ask = add_ask_message(layer, shape, ask_bytes(most_pairs_, shape.tokens, layer.width));
  return {ask.subspan(sizeof(Ask), shape.pairs * sizeof(AskedPair)), ask.subspan(ask_rows_offset(most_pairs_))};
}

std::span<std::byte> WorkerSession::add_ask_of_same_rows(const WorkerRows& layer, const AskShape& shape) {
  return add_ask_message(layer, shape, ask_rows_offset(shape.pairs)).subspan(sizeof(Ask));
}

void WorkerSession::add_ahead(std::span<const WarmExpert> experts) {
  begin_message();
  const auto bytes = std::as_bytes(experts);
  std::ranges::copy(bytes, requests_.add_set_tensor(raw(kAheadName, ask_address_, bytes.size()), bytes.size()).begin());
}

// What has no answer is followed by something that has: the message must have gone out before the next is made.
Status WorkerSession::warm(std::span<const WarmExpert> experts, Clock::time_point deadline) {
  requests_.clear();
  const auto bytes = std::as_bytes(experts);
  std::ranges::copy(bytes, requests_.add_set_tensor(raw(kWarmName, ask_address_, bytes.size()), bytes.size()).begin());
  requests_.add(RpcCommand::kBufferGetBase, RpcBufferGetBase{buffer_});
  if (Status status = send(); !status) {
    return status;
  }
  const auto base = answer<RpcBufferGetBaseAnswer>(deadline, nullptr);
  return base ? Status() : propagate(base.error());
}

void WorkerSession::add_reply(const WorkerRows& layer, uint32_t pairs) {
  const uint64_t bytes = reply_bytes(layer.experts, pairs, layer.result);
  requests_.add(RpcCommand::kGetTensor, RpcGetTensor{raw(kReplyName, reply_address_, bytes), 0, bytes});
}

Status WorkerSession::introduce(const WorkerBlock& block) {
  std::vector<RpcTensor> tensors = block.tensors;
  for (RpcTensor& tensor : tensors) {
    const std::string_view name(tensor.name);
    if (name == kAskName || name == kReplyName) {
      tensor.buffer = buffer_;
      tensor.data = name == kAskName ? ask_address_ : reply_address_;
    }
  }
  begin_message();
  add_ask_head(block.rows, {}, ask_bytes(most_pairs_, 0, block.rows.width));
  requests_.add_graph(block.rows.device, block.nodes, tensors);
  add_reply(block.rows, 0);
  return send();
}

Status WorkerSession::send() {
  posted_ = true;
  sent_ += requests_.bytes().size();
  return connection_.send(requests_.bytes());
}

Status WorkerSession::answer(std::span<std::byte> into, Clock::time_point deadline, const InterruptPipe* interrupt) {
  uint64_t size = 0;
  Status status = connection_.receive(std::as_writable_bytes(std::span(&size, 1)), deadline, interrupt);
  if (status && size != into.size()) {
    return fail(ErrorCode::kIo, "it answered {} bytes where {} were asked for", size, into.size());
  }
  if (status) {
    status = connection_.receive(into, deadline, interrupt);
    received_ += sizeof(size) + into.size();
  }
  return status;
}

template <class Answer>
Result<Answer> WorkerSession::answer(Clock::time_point deadline, const InterruptPipe* interrupt) {
  Answer got;
  if (Status status = answer(std::as_writable_bytes(std::span(&got, 1)), deadline, interrupt); !status) {
    return propagate(status.error());
  }
  return got;
}

Status WorkerSession::check_length() const {
  uint64_t size = 0;
  std::memcpy(&size, reply_.data(), sizeof(size));
  return size == awaited_.front().bytes
             ? Status()
             : fail(ErrorCode::kIo, "it answered {} bytes where {} were asked for", size, awaited_.front().bytes);
}

Result<bool> WorkerSession::arrived() {
  reply_.resize(kRpcAnswerHead + awaited_.front().bytes);
  while (got_ < reply_.size()) {
    const auto some = connection_.receive_some(std::span(reply_).subspan(got_));
    if (!some) {
      return propagate(some.error());
    }
    if (*some == 0) {
      return false;
    }
    received_ += *some;
    got_ += *some;
    if (Status status = got_ < kRpcAnswerHead ? Status() : check_length(); !status) {
      return propagate(status.error());
    }
  }
  return true;
}

Result<WorkerReply> WorkerSession::receive(Clock::time_point deadline) {
  const Awaited awaited = awaited_.front();
  reply_.resize(kRpcAnswerHead + awaited.bytes);
  for (const size_t end : {kRpcAnswerHead, reply_.size()}) {
    if (got_ < end) {
      if (Status status = connection_.receive(std::span(reply_).subspan(got_, end - got_), deadline); !status) {
        return propagate(status.error());
      }
      received_ += end - got_;
      got_ = end;
    }
    if (Status status = check_length(); !status) {
      return propagate(status.error());
    }
  }
  awaited_.pop_front();
  got_ = 0;
  const std::span<const std::byte> bytes = std::span<const std::byte>(reply_).subspan(kRpcAnswerHead);
  WorkerReply reply;
  std::memcpy(&reply.head, bytes.data(), sizeof(reply.head));
  if (reply.head.number != awaited.number) {  // an older one still lies there: of this nothing was computed
    reply.head.status = ReplyStatus::kRefused;
  }
  if (reply.head.status == ReplyStatus::kDone && reply.head.pairs != awaited.pairs) {
    return fail(ErrorCode::kIo, "it answered {} rows where {} were asked for", reply.head.pairs, awaited.pairs);
  }
  reply.map = bytes.subspan(sizeof(Reply), map_bytes(awaited.experts));
  reply.rows = bytes.subspan(reply_rows_offset(awaited.experts));
  return reply;
}

std::string WorkerSession::reason(Clock::time_point deadline) {
  while (!awaited_.empty()) {
    if (const auto other = receive(deadline); !other) {
      return other.error().message;
    }
  }
  requests_.clear();
  requests_.add(RpcCommand::kGetTensor, RpcGetTensor{raw(kReasonName, ask_address_, kReasonBytes), 0, kReasonBytes});
  std::array<char, kReasonBytes> text = {};
  Status status = send();
  if (status) {
    status = answer(std::as_writable_bytes(std::span(text)), deadline, nullptr);
  }
  return status ? text_in(text) : status.error().message;
}

}  // namespace hypura
