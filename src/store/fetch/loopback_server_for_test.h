// A web server on loopback for tests, whose every answer a function gives: what nginx cannot be told to do wrong.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace hypura {

struct TestRequest {
  std::string target;                          // path and query
  std::map<std::string, std::string> headers;  // names in lower case
  std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string() : found->second;
  }
};

struct TestAnswer {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::optional<size_t> cut_after;  // bytes of the body, then the connection is closed
  std::optional<size_t> claims;     // Content-Length, in place of the true one
};

// One thread a connection, one request each.
class LoopbackServer {
 public:
  using Handler = std::function<TestAnswer(const TestRequest&)>;

  explicit LoopbackServer(Handler handler) : handler_(std::move(handler)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* any = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_, any, length) != 0 || ::listen(listener_, 64) != 0 ||
        ::getsockname(listener_, any, &length) != 0) {
      ADD_FAILURE() << "no loopback server";
    }
    port_ = ntohs(address.sin_port);
    accepting_ = std::thread([this] { accept_all(); });
  }

  ~LoopbackServer() {
    ::shutdown(listener_, SHUT_RDWR);
    accepting_.join();
    ::close(listener_);
    for (std::thread& connection : connections_) {
      connection.join();
    }
  }
  LoopbackServer(const LoopbackServer&) = delete;
  LoopbackServer& operator=(const LoopbackServer&) = delete;

  std::string url(const std::string& path = "") const { return "http://127.0.0.1:" + std::to_string(port_) + path; }

  // All requests so far.
  std::vector<TestRequest> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void accept_all() {
    for (int connection = ::accept(listener_, nullptr, nullptr); connection >= 0;
         connection = ::accept(listener_, nullptr, nullptr)) {
      connections_.emplace_back([this, connection] { serve(connection); });
    }
  }

  void serve(int connection) {
    std::string text;
    std::string piece(4096, '\0');
    while (text.find("\r\n\r\n") == std::string::npos) {
      const ssize_t count = ::recv(connection, piece.data(), piece.size(), 0);
      if (count <= 0) {
        ::close(connection);
        return;
      }
      text.append(piece, 0, static_cast<size_t>(count));
    }
    const TestRequest request = parse(text);
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    const TestAnswer answer = handler_(request);
    std::string head = "HTTP/1.1 " + std::to_string(answer.status) + " Test\r\nConnection: close\r\nContent-Length: " +
                       std::to_string(answer.claims.value_or(answer.body.size())) + "\r\n";
    for (const auto& [name, value] : answer.headers) {
      head += name + ": " + value + "\r\n";
    }
    send_all(connection, head + "\r\n" + answer.body.substr(0, answer.cut_after.value_or(answer.body.size())));
    ::shutdown(connection, SHUT_WR);
    ::close(connection);
  }

  static void send_all(int connection, const std::string& text) {
    for (size_t sent = 0; sent < text.size();) {
      const ssize_t count = ::send(connection, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (count <= 0) {
        return;
      }
      sent += static_cast<size_t>(count);
    }
  }

  static TestRequest parse(const std::string& text) {
    TestRequest request;
    const size_t space = text.find(' ');
    request.target = text.substr(space + 1, text.find(' ', space + 1) - space - 1);
    for (size_t at = text.find("\r\n") + 2; text.compare(at, 2, "\r\n") != 0;) {
      const size_t end = text.find("\r\n", at);
      const size_t colon = text.find(':', at);
      std::string name = text.substr(at, colon - at);
      for (char& letter : name) {
        letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
      }
      request.headers[name] = text.substr(colon + 2, end - colon - 2);
      at = end + 2;
    }
    return request;
  }

  Handler handler_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::thread accepting_;
  std::vector<std::thread> connections_;  // of the accepting thread, until it ended
  mutable std::mutex mutex_;
  std::vector<TestRequest> requests_;
};

// `bytes` as a server that knows ranges gives them: 206 for a range of the version that is asked for, else 200.
inline TestAnswer ranged(const TestRequest& request, const std::string& bytes, const std::string& etag) {
  TestAnswer answer;
  answer.headers = {{"ETag", etag}, {"Accept-Ranges", "bytes"}};
  const std::string range = request.header("range");
  const std::string if_range = request.header("if-range");
  if (range.empty() || (!if_range.empty() && if_range != etag)) {
    answer.body = bytes;
    return answer;
  }
  const size_t first = std::stoull(range.substr(6));
  const size_t last = std::min<size_t>(std::stoull(range.substr(range.find('-') + 1)), bytes.size() - 1);
  answer.status = 206;
  answer.body = bytes.substr(first, last - first + 1);
  answer.headers.emplace_back("Content-Range", "bytes " + std::to_string(first) + "-" + std::to_string(last) + "/" +
                                                   std::to_string(bytes.size()));
  return answer;
}

// Bytes that differ wherever they are shifted.
inline std::string test_bytes(size_t size, uint32_t seed = 1) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) {
    seed = seed * 1664525 + 1013904223;
    byte = static_cast<char>(seed >> 24);
  }
  return bytes;
}

}  // namespace hypura
