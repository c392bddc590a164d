// hypura-relay LISTEN_PORT TO_HOST TO_PORT [RTT_MS] [GBIT]: passes TCP connections to 127.0.0.1:LISTEN_PORT on, as a
// network would: what is sent takes half the round trip and its turn on a link of so many Gbit/s (0: any). For
// measurements of workers on one machine, where the kernel has no netem.
//
// Each line of standard input is an event: `cut` and nothing is passed on, as when a cable is pulled; `mend`; `drop`
// and all connections are reset. It ends with standard input.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <list>
#include <optional>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

constexpr size_t kPiece = size_t{64} << 10U;
constexpr size_t kMostUnderWay = size_t{8} << 20U;  // of one direction: then it is not read from

struct Options {
  sockaddr_in listen{};
  sockaddr_in to{};
  nanoseconds delay{0};
  double seconds_per_byte = 0;
};

// Of one connection one way: what was read, in order, and when it arrives.
class Direction {
 public:
  Direction(int from, int to) : from_(from), to_(to) {}

  bool wants_to_read() const { return !ended_ && bytes_ < kMostUnderWay; }
  bool waits_for_room() const { return blocked_; }
  bool done() const { return ended_ && pieces_.empty(); }
  int from() const { return from_; }
  int to() const { return to_; }

  std::optional<Clock::time_point> due() const {
    return pieces_.empty() || blocked_ ? std::nullopt : std::optional(pieces_.front().due);
  }

  // False when the connection is broken.
  bool read(const Options& options) {
    std::vector<char> bytes(kPiece);
    const ssize_t got = ::recv(from_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got < 0) {
      return errno == EAGAIN || errno == EINTR;
    }
    ended_ = got == 0;
    if (got > 0) {
      bytes.resize(static_cast<size_t>(got));
      const auto took = std::chrono::duration<double>(static_cast<double>(got) * options.seconds_per_byte);
      free_ = std::max(free_, Clock::now()) + std::chrono::duration_cast<Clock::duration>(took);
      bytes_ += bytes.size();
      pieces_.push_back({std::move(bytes), free_ + options.delay});
    }
    return true;
  }

  bool write() {
    blocked_ = false;
    while (!pieces_.empty() && pieces_.front().due <= Clock::now()) {
      Piece& piece = pieces_.front();
      const ssize_t put =
          ::send(to_, piece.bytes.data() + sent_, piece.bytes.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (put < 0) {
        blocked_ = errno == EAGAIN;
        return blocked_ || errno == EINTR;
      }
      sent_ += static_cast<size_t>(put);
      if (sent_ == piece.bytes.size()) {
        bytes_ -= sent_;
        sent_ = 0;
        pieces_.pop_front();
      }
    }
    return true;
  }

 private:
  struct Piece {
    std::vector<char> bytes;
    Clock::time_point due;
  };

  int from_;
  int to_;
  std::deque<Piece> pieces_;
  Clock::time_point free_;  // when the link is
  size_t bytes_ = 0;        // in the pieces
  size_t sent_ = 0;         // of the first
  bool blocked_ = false;
  bool ended_ = false;
};

struct Connection {
  int client;
  int server;
  Direction there{client, server};
  Direction back{server, client};
};

sockaddr_in address_of(const char* host, const char* port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::atoi(port)));
  if (::inet_pton(AF_INET, host, &address.sin_addr) != 1 || address.sin_port == 0) {
    std::fprintf(stderr, "hypura-relay: %s:%s is no address\n", host, port);
    std::exit(2);
  }
  return address;
}

class Relay {
 public:
  explicit Relay(const Options& options) : options_(options), listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const int on = 1;
    ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (::bind(listener_, reinterpret_cast<const sockaddr*>(&options.listen), sizeof(options.listen)) != 0 ||
        ::listen(listener_, 64) != 0) {
      std::perror("hypura-relay");
      std::exit(5);
    }
  }

  void run() {
    while (turn()) {
    }
  }

 private:
  // False when standard input has ended.
  bool turn() {
    std::vector<pollfd> waits = {{STDIN_FILENO, POLLIN, 0}, {cut_ ? -1 : listener_, POLLIN, 0}};
    std::optional<Clock::time_point> due;
    for (const Connection& it : connections_) {
      for (const Direction* way : {&it.there, &it.back}) {
        waits.push_back({!cut_ && way->wants_to_read() ? way->from() : -1, POLLIN, 0});
        waits.push_back({!cut_ && way->waits_for_room() ? way->to() : -1, POLLOUT, 0});
        const auto its = cut_ ? std::nullopt : way->due();
        due = its && (!due || *its < *due) ? its : due;
      }
    }
    const nanoseconds left = due ? std::max<nanoseconds>(*due - Clock::now(), nanoseconds(0)) : nanoseconds(0);
    const timespec timeout = {left.count() / 1'000'000'000, left.count() % 1'000'000'000};
    ::ppoll(waits.data(), waits.size(), due ? &timeout : nullptr, nullptr);
    if (!cut_) {
      pass_on(waits);
    }
    if (!cut_ && waits[1].revents != 0) {
      accept();
    }
    return waits[0].revents == 0 || take_events();
  }

  void pass_on(const std::vector<pollfd>& waits) {
    size_t at = 2;
    for (auto it = connections_.begin(); it != connections_.end();) {
      bool whole = true;
      for (Direction* way : {&it->there, &it->back}) {
        const bool readable = waits[at].revents != 0;
        at += 2;
        whole = whole && (!readable || way->read(options_)) && way->write();
        if (way->done()) {
          ::shutdown(way->to(), SHUT_WR);
        }
      }
      if (!whole || (it->there.done() && it->back.done())) {
        end(*it, !whole);
        it = connections_.erase(it);
      } else {
        ++it;
      }
    }
  }

  static void end(const Connection& connection, bool reset) {
    const linger now = {1, 0};
    for (const int fd : {connection.client, connection.server}) {
      if (reset) {
        ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
      }
      ::close(fd);
    }
  }

  void accept() {
    const int client = ::accept(listener_, nullptr, nullptr);
    const int server = ::socket(AF_INET, SOCK_STREAM, 0);
    const int on = 1;
    for (const int fd : {client, server}) {
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    if (client < 0 || ::connect(server, reinterpret_cast<const sockaddr*>(&options_.to), sizeof(options_.to)) != 0) {
      end({client, server}, true);
      return;
    }
    connections_.push_back({client, server});
  }

  bool take_events() {
    std::array<char, 256> bytes{};
    const ssize_t got = ::read(STDIN_FILENO, bytes.data(), bytes.size());
    for (ssize_t i = 0; i < got; ++i) {
      if (bytes[static_cast<size_t>(i)] != '\n') {
        event_ += bytes[static_cast<size_t>(i)];
        continue;
      }
      cut_ = event_ == "cut" || (cut_ && event_ != "mend");
      if (event_ == "drop") {
        for (const Connection& it : connections_) {
          end(it, true);
        }
        connections_.clear();
      }
      event_.clear();
    }
    return got > 0;
  }

  const Options options_;
  const int listener_;
  std::list<Connection> connections_;
  std::string event_;
  bool cut_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4 || argc > 6) {
    std::fprintf(stderr, "usage: hypura-relay LISTEN_PORT TO_HOST TO_PORT [RTT_MS] [GBIT]\n");
    return 2;
  }
  Options options;
  options.listen = address_of("127.0.0.1", argv[1]);
  options.to = address_of(argv[2], argv[3]);
  options.delay = nanoseconds(static_cast<int64_t>(argc > 4 ? std::atof(argv[4]) * 1e6 / 2 : 0));
  const double gbit = argc > 5 ? std::atof(argv[5]) : 0;
  options.seconds_per_byte = gbit > 0 ? 8e-9 / gbit : 0;
  ::prctl(PR_SET_TIMERSLACK, 1);  // nanoseconds; else waits end 50 us late
  Relay(options).run();
  return 0;
}
