#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "backend/worker/rpc_graph.h"
#include "backend/worker/rpc_server.h"
#include "ggml-rpc.h"
#include "remote/protocol.h"
#include "remote/rpc_wire.h"
#include "remote/socket_options.h"
#include "storage/open.h"
#include "support/log.h"
#include "transport.h"

namespace {

using Clock = std::chrono::steady_clock;

const hypura::RpcListener* serving = nullptr;

constexpr size_t kReadAhead = size_t{64} << 10U;
constexpr const char* kNoHello = "it said no hello that could be accepted in time";

std::string address_of(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof(address);
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    return "an unknown address";
  }
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
    return "[" + std::string(text.data()) + "]:" + std::to_string(ntohs(v6.sin6_port));
  }
  const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
  ::inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
  return std::string(text.data()) + ":" + std::to_string(ntohs(v4.sin_port));
}

}  // namespace

// A connection, or (with fd -1) the listener.
struct socket_t::impl {
  explicit impl(hypura::FileDescriptor connection) : fd(std::move(connection)) {}
  ~impl() {
    if (fd.get() >= 0 && serving != nullptr && serving->disconnected) {
      serving->disconnected(ended);
    }
  }

  bool receive(std::byte* to, size_t size);
  bool is_bearable(std::span<const std::byte> content);
  bool is_command(hypura::RpcCommand it) const { return command == std::byte{static_cast<uint8_t>(it)}; }
  bool read(std::byte* to, size_t size, bool between_messages);
  bool flush();
  bool wait(short events, bool between_messages);
  std::chrono::milliseconds until_late() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(accepted + serving->greeting - Clock::now());
  }

  hypura::FileDescriptor fd;
  std::vector<std::byte> in = std::vector<std::byte>(kReadAhead);  // read, and not yet asked for: in[begin, end)
  size_t begin = 0;
  size_t end = 0;
  std::vector<std::byte> out;
  std::byte command{};       // of the message that is read
  bool length_next = false;  // what comes is the length of its content
  bool content_next = false;
  Clock::time_point accepted = Clock::now();
  std::string ended = "it closed the connection";
};

// False at the deadline, and when the connection is gone.
bool socket_t::impl::wait(short events, bool between_messages) {
  while (true) {
    const bool known = serving->greeted();
    const int timeout = !known             ? static_cast<int>(std::max<int64_t>(until_late().count(), 0))
                        : between_messages ? -1
                                           : static_cast<int>(serving->stall.count());
    pollfd ready{fd.get(), events, 0};
    const int count = ::poll(&ready, 1, timeout);
    if (count > 0) {
      return true;
    }
    if (count == 0) {
      ended = known ? "it stopped within a message" : kNoHello;
      return false;
    }
    if (errno != EINTR) {
      ended = std::strerror(errno);
      return false;
    }
  }
}

// A message begins with one byte, its command: before that a peer may be silent. Then comes the length of its content,
// for which the server takes memory as soon as it has been told.
bool socket_t::impl::receive(std::byte* to, size_t size) {
  const bool begins = size == 1 && !content_next;
  if (begins && until_late().count() <= 0 && !serving->greeted()) {
    ended = kNoHello;
    return false;
  }
  if (!read(to, size, begins)) {
    return false;
  }
  uint64_t content = 0;
  if (length_next && size == sizeof(content)) {
    std::memcpy(&content, to, size);
  }
  if (std::exchange(content_next, length_next && content > 0) && !is_bearable({to, size})) {
    return false;
  }
  command = begins ? *to : command;
  length_next = begins;
  const uint64_t most_graph = serving->whole_layers() ? hypura::kMostGraphBytes : hypura::RpcListener::kMostGraph;
  if (content > (is_command(hypura::RpcCommand::kGraphCompute) ? most_graph : hypura::RpcListener::kMostMessage)) {
    ended = "it sent a message that is longer than any";
    return false;
  }
  return true;
}

// Whether the server may have the content of a message.
bool socket_t::impl::is_bearable(std::span<const std::byte> content) {
  if (is_command(hypura::RpcCommand::kGraphCompute) && !hypura::is_shallow_graph(content)) {
    ended = "it sent a graph that is deeper than any";
    return false;
  }
  hypura::RpcGetTensor asked;
  if (is_command(hypura::RpcCommand::kGetTensor) && content.size() == sizeof(asked)) {
    std::memcpy(&asked, content.data(), sizeof(asked));
    if (asked.size > hypura::RpcListener::kMostMessage) {  // for which the server takes memory at once
      ended = "it asked for more at once than any";
      return false;
    }
  }
  return true;
}

// Waits for all of it.
bool socket_t::impl::read(std::byte* to, size_t size, bool between_messages) {
  while (size > 0) {
    if (begin == end) {
      begin = end = 0;
      const bool direct = size >= in.size();
      const ssize_t got = ::recv(fd.get(), direct ? to : in.data(), direct ? size : in.size(), MSG_DONTWAIT);
      if (got == 0) {
        return false;
      }
      if (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        ended = std::strerror(errno);
        return false;
      }
      if (got < 0) {
        if (!wait(POLLIN, between_messages)) {
          return false;
        }
        continue;
      }
      if (direct) {
        to += got;
        size -= static_cast<size_t>(got);
        continue;
      }
      end = static_cast<size_t>(got);
    }
    const size_t taken = std::min(size, end - begin);
    std::memcpy(to, in.data() + begin, taken);
    begin += taken;
    to += taken;
    size -= taken;
  }
  return true;
}

bool socket_t::impl::flush() {
  for (size_t sent = 0; sent < out.size();) {
    const ssize_t count = ::send(fd.get(), out.data() + sent, out.size() - sent, hypura::kSendFlags | MSG_DONTWAIT);
    if (count >= 0) {
      sent += static_cast<size_t>(count);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
      if (!wait(POLLOUT, false)) {
        return false;
      }
    } else {
      ended = std::strerror(errno);
      return false;
    }
  }
  out.clear();
  return true;
}

// --- what ggml-rpc.cpp calls ---------------------------------------------------------------------------------------

socket_t::socket_t(std::unique_ptr<impl> p) : pimpl(std::move(p)) {}
socket_t::~socket_t() = default;

bool socket_t::send_data(const void* data, size_t size) {
  const auto* bytes = static_cast<const std::byte*>(data);
  pimpl->out.insert(pimpl->out.end(), bytes, bytes + size);
  return true;
}

bool socket_t::flush() {
  return pimpl->flush();
}

bool socket_t::recv_data(void* data, size_t size) {
  return pimpl->receive(static_cast<std::byte*>(data), size);
}

void socket_t::get_caps(uint8_t* local_caps) {
  std::fill_n(local_caps, RPC_CONN_CAPS_SIZE, uint8_t{0});  // TCP, and nothing else
}
void socket_t::update_caps(const uint8_t* /*remote_caps*/) {}

socket_ptr socket_t::accept() {
  while (true) {
    pollfd ready{serving->fd, POLLIN, 0};
    ::poll(&ready, 1, -1);
    hypura::FileDescriptor connection(::accept(serving->fd, nullptr, nullptr));
    if (connection.get() >= 0) {
      const int on = 1;
      ::fcntl(connection.get(), F_SETFD, FD_CLOEXEC);
      ::setsockopt(connection.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      hypura::look_after(connection.get());
      if (serving->connected) {
        serving->connected(address_of(connection.get()));
      }
      return socket_ptr(new socket_t(std::make_unique<impl>(std::move(connection))));
    }
    if (errno == EINVAL || errno == EBADF || errno == ENOTSOCK) {  // it was shut down
      return nullptr;
    }
    if (errno != EINTR && errno != ECONNABORTED) {
      hypura::logger().warn("cannot accept a connection: {}", std::strerror(errno));
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }
}

socket_ptr socket_t::create_server(const char* /*host*/, int /*port*/) {
  return serving == nullptr ? nullptr : socket_ptr(new socket_t(std::make_unique<impl>(hypura::FileDescriptor())));
}

// A worker connects to nobody.
socket_ptr socket_t::connect(const char* /*host*/, int /*port*/) {
  return nullptr;
}

bool rpc_transport_init() {
  return true;
}
void rpc_transport_shutdown() {}

namespace hypura {

void serve_rpc(const RpcListener& listener, std::span<ggml_backend_dev_t> devices) {
  struct Serving {
    ~Serving() { serving = nullptr; }
  } const reset;
  serving = &listener;
  ggml_backend_rpc_start_server("inherited:0", nullptr, 1, devices.size(), devices.data());
}

}  // namespace hypura
