#include "remote/layers_session.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "support/fail.h"
#include "support/printable.h"

namespace hypura {

namespace {

// A message that is longer goes out before more is added to it.
constexpr uint64_t kLongMessage = 16ULL << 20;
constexpr uint64_t kPiece = kMostPieceBytes / 4;

// Of a greeting: of the worker's memory it takes some 40 KiB.
constexpr uint32_t kGreetingWidth = 16;

}  // namespace

Result<LayersSession> LayersSession::open(const WorkerAddress& address, const WorkerHello& hello,
                                          std::chrono::milliseconds patience) {
  WorkerHello ours = hello;
  ours.split = AskedSplit::kLayers;
  const WorkerRoom room = {0, 0, kGreetingWidth, kGreetingWidth, 0};
  auto session = WorkerSession::open(address, ours, room, Clock::now() + patience, nullptr);
  return session ? Result<LayersSession>(LayersSession(std::move(*session), patience)) : propagate(session.error());
}

Status LayersSession::post_and_receive(std::span<std::byte> into) {
  Status status = session_.post();
  return status ? session_.receive_answer(into, soon()) : status;
}

// What has no answer is followed by something that has.
Status LayersSession::flush() {
  RpcBufferGetBaseAnswer base;
  session_.message().add(RpcCommand::kBufferGetBase, RpcBufferGetBase{session_.reserved({}, 0).buffer});
  return post_and_receive(std::as_writable_bytes(std::span(&base, 1)));
}

Status LayersSession::keep(std::span<const uint16_t> layers) {
  std::vector<WarmExpert> wanted;
  for (const uint16_t layer : layers) {
    wanted.push_back({layer, 0});
  }
  const auto bytes = std::as_bytes(std::span(wanted));
  const RpcTensor tensor = session_.reserved(kWarmName, bytes.size());
  std::ranges::copy(bytes, session_.message().add_set_tensor(tensor, bytes.size()).begin());
  return flush();
}

Result<RemoteMemory> LayersSession::allocate(uint64_t bytes) {
  session_.message().add(RpcCommand::kAllocBuffer, RpcAllocBuffer{0, bytes});
  RpcAllocBufferAnswer memory;
  if (Status status = post_and_receive(std::as_writable_bytes(std::span(&memory, 1))); !status) {
    return propagate(status.error());
  }
  if (memory.buffer == 0 || memory.size < bytes) {
    return fail(ErrorCode::kBudget, "it has no memory for {} bytes more", bytes);
  }
  session_.message().add(RpcCommand::kBufferGetBase, RpcBufferGetBase{memory.buffer});
  RpcBufferGetBaseAnswer base;
  if (Status status = post_and_receive(std::as_writable_bytes(std::span(&base, 1))); !status) {
    return propagate(status.error());
  }
  return RemoteMemory{memory.buffer, base.base};
}

Status LayersSession::release(const RemoteMemory& memory) {
  session_.message().add(RpcCommand::kFreeBuffer, RpcFreeBuffer{memory.buffer});
  return flush();
}

Status LayersSession::clear(const RemoteMemory& memory, uint8_t value) {
  session_.message().add(RpcCommand::kBufferClear, RpcBufferClear{memory.buffer, value});
  return flush();
}

Status LayersSession::set(const RemoteBytes& to, std::span<const std::byte> bytes) {
  for (uint64_t done = 0; done < bytes.size();) {
    const uint64_t piece = std::min<uint64_t>(bytes.size() - done, kPiece);
    const RpcTensor tensor = WorkerSession::memory(to.buffer, to.address + done, piece);
    std::ranges::copy(bytes.subspan(done, piece), session_.message().add_set_tensor(tensor, piece).begin());
    done += piece;
    if (session_.message().bytes().size() > kLongMessage) {
      if (Status status = flush(); !status) {
        return status;
      }
    }
  }
  return {};
}

Status LayersSession::get(const RemoteBytes& from, std::span<std::byte> into) {
  for (uint64_t done = 0; done < into.size();) {
    const uint64_t piece = std::min<uint64_t>(into.size() - done, kPiece);
    const RpcTensor tensor = WorkerSession::memory(from.buffer, from.address + done, piece);
    session_.message().add(RpcCommand::kGetTensor, RpcGetTensor{tensor, 0, piece});
    if (Status status = post_and_receive(into.subspan(done, piece)); !status) {
      return status;
    }
    done += piece;
  }
  return {};
}

Result<LayersStatus> LayersSession::compute(uint32_t number, const RemoteGraph* graph, const RemoteBytes& output,
                                            std::span<std::byte> into, Clock::time_point deadline) {
  RpcRequests& message = session_.message();
  if (graph != nullptr) {
    message.add_graph(number, graph->nodes, graph->tensors);
  } else {
    message.add(RpcCommand::kGraphRecompute, RpcGraphRecompute{number});
  }
  message.add(RpcCommand::kGetTensor,
              RpcGetTensor{session_.reserved(kLayersStatusName, sizeof(LayersStatus)), 0, sizeof(LayersStatus)});
  const uint64_t first = std::min<uint64_t>(into.size(), kMostPieceBytes);
  if (first > 0) {
    message.add(RpcCommand::kGetTensor,
                RpcGetTensor{WorkerSession::memory(output.buffer, output.address, first), 0, first});
  }
  LayersStatus computed;
  Status status = session_.post();
  if (status) {
    status = session_.receive_answer(std::as_writable_bytes(std::span(&computed, 1)), deadline);
  }
  if (status && first > 0) {
    status = session_.receive_answer(into.first(first), deadline);
  }
  if (status && first < into.size() && computed.status == ReplyStatus::kDone) {
    status = get({output.buffer, output.address + first}, into.subspan(first));
  }
  return status ? Result<LayersStatus>(computed) : propagate(status.error());
}

std::string LayersSession::reason() {
  std::array<char, kReasonBytes> text = {};
  session_.message().add(RpcCommand::kGetTensor,
                         RpcGetTensor{session_.reserved(kReasonName, kReasonBytes), 0, kReasonBytes});
  const Status status = post_and_receive(std::as_writable_bytes(std::span(text)));
  return status ? printable({text.begin(), std::find(text.begin(), text.end(), '\0')}) : status.error().message;
}

}  // namespace hypura
