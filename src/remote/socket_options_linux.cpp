#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "remote/socket_options.h"

namespace hypura {

namespace {

// Seconds of silence, between two questions then, and questions without an answer. A worker serves one machine at a
// time: for as long as it takes one that has gone to be there still, nobody is served, and that machine is not when it
// is back.
constexpr int kIdle = 5;
constexpr int kBetween = 2;
constexpr int kQuestions = 3;
constexpr int kUnacknowledged = (kIdle + kQuestions * kBetween) * 1000;  // milliseconds that what was sent may be

void set_number(int fd, int level, int option, int value) {
  ::setsockopt(fd, level, option, &value, sizeof(value));  // without it deadlines alone end a wait
}

}  // namespace

const int kSendFlags = MSG_NOSIGNAL;

void look_after(int fd) {
  set_number(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_number(fd, IPPROTO_TCP, TCP_KEEPIDLE, kIdle);
  set_number(fd, IPPROTO_TCP, TCP_KEEPINTVL, kBetween);
  set_number(fd, IPPROTO_TCP, TCP_KEEPCNT, kQuestions);
  set_number(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, kUnacknowledged);
}

}  // namespace hypura
