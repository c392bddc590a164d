#include "cli/worker/worker_listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>
#include <system_error>

#include "support/fail.h"

namespace hypura {

namespace {

constexpr int kWaiting = 8;  // connections that may wait for the one that is served

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

std::optional<SocketAddress> socket_address(const WorkerAddress& address) {
  SocketAddress result;
  auto& v4 = reinterpret_cast<sockaddr_in&>(result.storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(result.storage);
  if (::inet_pton(AF_INET, address.host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(address.port);
    result.length = sizeof(v4);
    return result;
  }
  if (::inet_pton(AF_INET6, address.host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(address.port);
    result.length = sizeof(v6);
    return result;
  }
  return std::nullopt;
}

}  // namespace

Result<WorkerAddress> read_listen_address(const std::string& text) {
  auto address = parse_worker_address(text);
  if (address && address->host == "localhost") {
    address->host = "127.0.0.1";
  }
  if (!address || !socket_address(*address)) {
    return fail(ErrorCode::kUsage,
                "--listen takes an address of this machine with a port, like 127.0.0.1:52525; '{}' "
                "is none",
                text);
  }
  return address;
}

Result<FileDescriptor> listen_at(const WorkerAddress& address) {
  const auto where = socket_address(address);
  if (!where) {
    return fail(ErrorCode::kUsage, "{} is no address", to_string(address));
  }
  FileDescriptor listener(::socket(where->storage.ss_family, SOCK_STREAM, 0));
  const int on = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (listener.get() < 0 || ::fcntl(listener.get(), F_SETFD, FD_CLOEXEC) != 0 ||
      ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&where->storage), where->length) != 0 ||
      ::listen(listener.get(), kWaiting) != 0) {
    const bool taken = errno == EADDRINUSE;
    return fail(ErrorCode::kIo, "cannot listen at {}: {}{}", to_string(address), std::generic_category().message(errno),
                taken ? "; another worker may run here: choose another port" : "");
  }
  return listener;
}

}  // namespace hypura
