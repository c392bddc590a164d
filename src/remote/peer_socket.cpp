#include "remote/peer_socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "remote/socket_options.h"
#include "support/fail.h"

namespace hypura {

namespace {

// Bytes that the system is to take of one message without anyone reading them: it may allow less.
constexpr int kSendBuffer = 4 << 20;

struct AddressDeleter {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};
using AddressList = std::unique_ptr<addrinfo, AddressDeleter>;

Result<AddressList> look_up(const WorkerAddress& address) {
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
  if (error != 0) {
    return fail(ErrorCode::kIo, "its host is not known: {}", ::gai_strerror(error));
  }
  return AddressList(found);
}

void set_option(int fd, int level, int option, int value) {
  ::setsockopt(fd, level, option, &value, sizeof(value));  // without it the connection works too
}

// A socket that never waits; -1 when there is none.
int make_socket(const addrinfo& address) {
  const int fd = ::socket(address.ai_family, address.ai_socktype, address.ai_protocol);
  if (fd < 0) {
    return fd;
  }
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, SOL_SOCKET, SO_SNDBUF, kSendBuffer);
  look_after(fd);
  return fd;
}

int milliseconds_until(PeerSocket::Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - PeerSocket::Clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, 1 << 30));
}

tl::unexpected<Error> gone(int error) {
  return fail(ErrorCode::kIo, "the connection is lost: {}", std::strerror(error));
}

bool would_wait() {
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

}  // namespace

Result<PeerSocket> PeerSocket::open(const WorkerAddress& address, Clock::time_point deadline,
                                    const InterruptPipe* interrupt) {
  auto list = look_up(address);
  if (!list) {
    return propagate(list.error());
  }
  Error failure = {ErrorCode::kIo, "its host has no address"};
  for (const addrinfo* it = list->get(); it != nullptr; it = it->ai_next) {
    PeerSocket made(make_socket(*it));
    if (made.fd_ < 0) {
      failure.message = std::strerror(errno);
      continue;
    }
    // Interrupted, it goes on by itself too.
    if (::connect(made.fd_, it->ai_addr, it->ai_addrlen) != 0 && errno != EINPROGRESS && errno != EINTR) {
      failure.message = std::strerror(errno);
      continue;
    }
    if (Status status = made.wait_for(POLLOUT, deadline, interrupt); !status) {
      return propagate(status.error());
    }
    int error = 0;
    socklen_t size = sizeof(error);
    ::getsockopt(made.fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error == 0) {
      return made;
    }
    failure.message = std::strerror(error);
  }
  return propagate(std::move(failure));
}

PeerSocket::~PeerSocket() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

PeerSocket::PeerSocket(PeerSocket&& other) noexcept : fd_(std::exchange(other.fd_, -1)), unsent_(other.unsent_) {}

PeerSocket& PeerSocket::operator=(PeerSocket&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(unsent_, other.unsent_);
  return *this;
}

Status PeerSocket::send(std::span<const std::byte> bytes) {
  unsent_ = bytes;
  return send_some();
}

Status PeerSocket::send_some() {
  while (!unsent_.empty()) {
    const ssize_t sent = ::send(fd_, unsent_.data(), unsent_.size(), kSendFlags);
    if (sent < 0 && errno == EINTR) {
      continue;
    }
    if (sent < 0 && would_wait()) {
      return {};
    }
    if (sent < 0) {
      return gone(errno);
    }
    unsent_ = unsent_.subspan(static_cast<size_t>(sent));
  }
  return {};
}

Status PeerSocket::receive(std::span<std::byte> into, Clock::time_point deadline, const InterruptPipe* interrupt) {
  while (!into.empty()) {
    const auto got = receive_some(into);
    if (!got) {
      return propagate(got.error());
    }
    into = into.subspan(*got);
    if (*got > 0) {
      continue;
    }
    const auto events = static_cast<short>(unsent_.empty() ? POLLIN : POLLIN | POLLOUT);
    if (Status status = wait_for(events, deadline, interrupt); !status) {
      return status;
    }
  }
  return {};
}

Result<size_t> PeerSocket::receive_some(std::span<std::byte> into) {
  if (Status status = send_some(); !status) {
    return propagate(status.error());
  }
  const ssize_t got = ::recv(fd_, into.data(), into.size(), 0);
  if (got == 0) {
    return fail(ErrorCode::kIo, "it closed the connection");
  }
  if (got < 0 && !would_wait()) {
    return gone(errno);
  }
  return static_cast<size_t>(std::max<ssize_t>(got, 0));
}

bool PeerSocket::has_ended() const {
  std::byte one{};
  const ssize_t there = ::recv(fd_, &one, 1, MSG_PEEK | MSG_DONTWAIT);
  return there == 0 || (there < 0 && !would_wait());
}

Status PeerSocket::wait_for(short events, Clock::time_point deadline, const InterruptPipe* interrupt) const {
  while (true) {
    pollfd fds[] = {{fd_, events, 0}, {interrupt == nullptr ? -1 : interrupt->fd(), POLLIN, 0}};
    const int ready = ::poll(fds, 2, milliseconds_until(deadline));
    if (ready < 0 && errno == EINTR) {
      continue;
    }
    if (ready < 0) {
      return gone(errno);
    }
    if (fds[1].revents != 0) {
      return fail(ErrorCode::kIo, "waiting was ended");
    }
    if (ready == 0) {
      return fail(ErrorCode::kIo, "it did not answer in time");
    }
    return {};
  }
}

}  // namespace hypura
