#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "remote/socket_options.h"

namespace hypura {

namespace {

constexpr int kIdle = 5;  // seconds of silence before the system asks

void set_number(int fd, int level, int option, int value) {
  ::setsockopt(fd, level, option, &value, sizeof(value));  // without it deadlines alone end a wait
}

}  // namespace

const int kSendFlags = 0;

void look_after(int fd) {
  set_number(fd, SOL_SOCKET, SO_NOSIGPIPE, 1);
  set_number(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_number(fd, IPPROTO_TCP, TCP_KEEPALIVE, kIdle);
}

}  // namespace hypura
