// A client that sends what it is told, well-formed or not, and reads what comes.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace hypura {

struct RawResponse {
  int status = 0;  // 0: none came
  std::string head;
  std::string body;  // de-chunked

  bool has(std::string_view line) const { return head.find(line) != std::string::npos; }
};

class RawClient {
 public:
  // `receive_buffer` in bytes; 0: the system's.
  explicit RawClient(uint16_t port, int receive_buffer = 0) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer > 0) {
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  ~RawClient() { close(); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  void send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) {
        return;  // the server has closed: the test sees that in what it reads
      }
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }

  // "GET /path" and the like, with the headers that must be there.
  void ask(std::string_view request_line, std::string_view headers = "", std::string_view body = "") const {
    std::string text = std::string(request_line) + " HTTP/1.1\r\nHost: localhost\r\n" + std::string(headers);
    if (!body.empty()) {
      text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    }
    send(text + "\r\n" + std::string(body));
  }

  // All up to and with `end`; what came when that did not.
  std::string read_until(std::string_view end) {
    while (buffer_.find(end) == std::string::npos && read_more()) {
    }
    const size_t found = buffer_.find(end);
    return take(found == std::string::npos ? buffer_.size() : found + end.size());
  }

  RawResponse read_response(bool with_body = true) {
    RawResponse response;
    response.head = read_until("\r\n\r\n");
    if (response.head.size() < 12) {
      return response;
    }
    response.status = std::atoi(response.head.c_str() + 9);
    const size_t length = response.head.find("Content-Length: ");
    if (!with_body) {
      return response;
    }
    if (response.has("Transfer-Encoding: chunked")) {
      for (std::string piece = read_chunk(); !piece.empty(); piece = read_chunk()) {
        response.body += piece;
      }
    } else if (length != std::string::npos) {
      const size_t size = std::strtoul(response.head.c_str() + length + 16, nullptr, 10);
      while (buffer_.size() < size && read_more()) {
      }
      response.body = take(std::min(size, buffer_.size()));
    }
    return response;
  }

  // Empty at the end.
  std::string read_chunk() {
    const std::string line = read_until("\r\n");
    const size_t size = std::strtoul(line.c_str(), nullptr, 16);
    while (buffer_.size() < size + 2 && read_more()) {
    }
    std::string piece = take(std::min(size, buffer_.size()));
    take(std::min<size_t>(2, buffer_.size()));
    return piece;
  }

  // Whether the server has closed its end, after what it sent.
  bool closed() {
    while (read_more()) {
    }
    return ended_;
  }

  std::string take_all() { return take(buffer_.size()); }

  void half_close() const { ::shutdown(fd_, SHUT_WR); }

  void close() {
    if (fd_ >= 0) {
      ::close(fd_);
      fd_ = -1;
    }
  }

  void reset() {
    const linger at_once{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close();
  }

 private:
  static constexpr int kPatienceMs = 5000;

  std::string take(size_t size) {
    std::string front = buffer_.substr(0, size);
    buffer_.erase(0, size);
    return front;
  }

  bool read_more() {
    pollfd readable{fd_, POLLIN, 0};
    if (ended_ || ::poll(&readable, 1, kPatienceMs) != 1) {
      return false;
    }
    std::array<char, 65536> block{};
    const ssize_t count = ::recv(fd_, block.data(), block.size(), 0);
    ended_ = count <= 0;
    if (count > 0) {
      buffer_.append(block.data(), static_cast<size_t>(count));
    }
    return count > 0;
  }

  int fd_;
  bool ended_ = false;
  std::string buffer_;
};

}  // namespace hypura
