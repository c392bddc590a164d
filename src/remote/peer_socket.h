// A TCP connection whose every wait has an end. The system looks after it (keepalive): a peer that is gone without a
// word is noticed within some seconds, also while nothing is sent.
//
// Belongs to one thread at a time; any thread may set the interrupt.
#pragma once

#include <chrono>
#include <cstddef>
#include <span>

#include "hypura/result.h"
#include "remote/interrupt_pipe.h"
#include "remote/worker_address.h"

namespace hypura {

class PeerSocket {
 public:
  using Clock = std::chrono::steady_clock;

  // Fails with kIo when nobody listens there, at the deadline, or when `interrupt` is set. A host that is a name is
  // looked up first, for which the system's own patience holds.
  static Result<PeerSocket> open(const WorkerAddress& address, Clock::time_point deadline,
                                 const InterruptPipe* interrupt);

  ~PeerSocket();
  PeerSocket(PeerSocket&& other) noexcept;
  PeerSocket& operator=(PeerSocket&& other) noexcept;

  // Sends what the system takes without waiting; the rest goes out while receive() waits. `bytes` must stay until that
  // has returned. What was to be sent before must have gone out. Fails with kIo when the peer has gone.
  Status send(std::span<const std::byte> bytes);

  // Waits until all of `into` has come, as far as it has not yet. Fails with kIo at the deadline, when the peer has
  // gone, when `interrupt` (nullptr: there is none) is set.
  Status receive(std::span<std::byte> into, Clock::time_point deadline, const InterruptPipe* interrupt = nullptr);

  // Receives what has come, without waiting, and sends what the system takes; gives how many bytes came. Fails with kIo
  // when the peer has gone.
  Result<size_t> receive_some(std::span<std::byte> into);

  // Whether the peer has gone, as far as the system knows. Any thread, also while another uses the socket.
  bool has_ended() const;

 private:
  explicit PeerSocket(int fd) : fd_(fd) {}

  Status send_some();
  Status wait_for(short events, Clock::time_point deadline, const InterruptPipe* interrupt) const;

  int fd_ = -1;
  std::span<const std::byte> unsent_;
};

}  // namespace hypura
