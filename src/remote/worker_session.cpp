#include "remote/worker_session.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>

#include "support/elapsed.h"
#include "support/fail.h"
#include "support/printable.h"
#include "support/units.h"

namespace hypura {

namespace {

constexpr uint64_t kPlace = 64;  // bytes that an ask and a reply lie at multiples of
constexpr size_t kGraphBytes = 2 * kMostNodes * sizeof(RpcTensor) + 4096;

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
  return ask_space(room, pairs) + reply_space(room, pairs) + kGraphBytes;
}

Result<WorkerSession> WorkerSession::open(const WorkerAddress& address, const WorkerHello& hello,
                                          const WorkerRoom& room, Clock::time_point deadline,
                                          const InterruptPipe* interrupt) {
  auto connection = PeerSocket::open(address, deadline, interrupt);
  if (!connection) {
    return propagate(connection.error());
  }
  WorkerSession session(std::move(*connection));
  if (Status status = session.greet(hello, room, deadline, interrupt); !status) {
    return propagate(status.error());
  }
  return session;
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

// Memory of the worker's for what is sent and what comes back. How long that takes tells of the way there.
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
  const auto start = Clock::now();
  if (Status status = send(); !status) {
    return status;
  }
  const auto base = answer<RpcBufferGetBaseAnswer>(deadline, interrupt);
  if (!base) {
    return propagate(base.error());
  }
  round_trip_ = seconds_since(start);
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
  if (verdict_.layers < room.layers || verdict_.experts < room.experts || verdict_.most_pairs == 0) {
    return fail(ErrorCode::kUsage, "it has {} layers of {} experts, and the model has {} of {}", verdict_.layers,
                verdict_.experts, room.layers, room.experts);
  }
  most_pairs_ = std::min(most_pairs_, verdict_.most_pairs);
  return {};
}

RpcTensor WorkerSession::raw(std::string_view name, uint64_t address, uint64_t bytes) const {
  RpcTensor tensor;
  tensor.id = 1;
  tensor.type = kRpcI8;
  tensor.buffer = buffer_;
  tensor.set_shape(1, {static_cast<uint32_t>(bytes), 1, 1, 1});
  tensor.data = address;
  tensor.set_name(name);
  return tensor;
}

void WorkerSession::add_ask(const WorkerRows& layer, uint32_t pairs, uint32_t tokens) {
  const uint64_t bytes = ask_bytes(most_pairs_, tokens, layer.width);
  ask_ = requests_.add_set_tensor(raw(kAskName, ask_address_, bytes), bytes);
  number_ = number_ == UINT32_MAX ? 1 : number_ + 1;
  const Ask ask = {number_, pairs, tokens, 0};
  std::memcpy(ask_.data(), &ask, sizeof(ask));
}

void WorkerSession::add_reply(const WorkerRows& layer, uint32_t pairs) {
  const uint64_t bytes = reply_bytes(layer.experts, pairs, layer.result);
  requests_.add(RpcCommand::kGetTensor, RpcGetTensor{raw(kReplyName, reply_address_, bytes), 0, bytes});
  pairs_ = pairs;
  experts_ = layer.experts;
  reply_.resize(bytes);
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
  requests_.clear();
  add_ask(block.rows, 0, 0);
  requests_.add_graph(block.rows.device, block.nodes, tensors);
  add_reply(block.rows, 0);
  return send();
}

// What is added behind the ask may move it: it is the last that is written by its address.
AskSpace WorkerSession::begin_ask(const WorkerRows& layer, uint32_t pairs, uint32_t tokens) {
  requests_.clear();
  add_ask(layer, pairs, tokens);
  const auto at = static_cast<size_t>(ask_.data() - requests_.bytes().data());
  const size_t length = ask_.size();
  requests_.add(RpcCommand::kGraphRecompute, RpcGraphRecompute{layer.device});
  add_reply(layer, pairs);
  ask_ = requests_.bytes_at(at, length);
  const uint64_t rows = ask_rows_offset(most_pairs_);
  return {ask_.subspan(sizeof(Ask), pairs * sizeof(AskedPair)), ask_.subspan(rows)};
}

Status WorkerSession::send() {
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

Result<WorkerReply> WorkerSession::receive(Clock::time_point deadline) {
  if (Status status = answer(reply_, deadline, nullptr); !status) {
    return propagate(status.error());
  }
  WorkerReply reply;
  std::memcpy(&reply.head, reply_.data(), sizeof(reply.head));
  if (reply.head.number != number_) {  // an older one still lies there: of this nothing was computed
    reply.head.status = ReplyStatus::kRefused;
  }
  if (reply.head.status == ReplyStatus::kDone && reply.head.pairs != pairs_) {
    return fail(ErrorCode::kIo, "it answered {} rows where {} were asked for", reply.head.pairs, pairs_);
  }
  reply.map = std::span<const std::byte>(reply_).subspan(sizeof(Reply), map_bytes(experts_));
  reply.rows = std::span<const std::byte>(reply_).subspan(reply_rows_offset(experts_));
  return reply;
}

std::string WorkerSession::reason(Clock::time_point deadline) {
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
