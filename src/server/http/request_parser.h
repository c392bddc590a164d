// Reads one HTTP request from bytes as they come. A layer over Beast's parser that keeps Boost out of headers.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "server/exchange.h"
#include "server/http/http_service.h"

namespace hypura {

// Why a request cannot be answered as it was meant.
struct HttpFailure {
  int status = 400;
  std::string sentence;
};

// Not thread-safe. After kFailed nothing more is read.
class RequestParser {
 public:
  enum class State { kHeader, kBody, kDone, kFailed };

  // Borrows `limits`.
  explicit RequestParser(const HttpLimits& limits);
  ~RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  // Reads from the front of `bytes` and gives how many were read; the rest must come again, with more behind it.
  // Stops after the header, so that the request can be refused before its body comes, and after the request.
  size_t put(std::string_view bytes);

  State state() const { return state_; }

  // Something of the request has come.
  bool begun() const;

  // With kFailed.
  const HttpFailure& failure() const { return failure_; }

  // The header from kBody on; the body with kDone. Before that, and with kFailed, what is known.
  const HttpRequest& request() const { return request_; }
  HttpRequest take_request() { return std::move(request_); }

  // From kBody on: whether the client keeps the connection, speaks HTTP/1.0, or waits for "100 Continue".
  bool keep_alive() const { return keep_alive_; }
  bool http10() const { return http10_; }
  bool expects_continue() const { return expects_continue_; }

 private:
  struct Beast;

  void fail(int status, std::string sentence);
  bool read_target();
  void read_header();
  bool check_header();

  std::unique_ptr<Beast> beast_;
  const HttpLimits* limits_;
  State state_ = State::kHeader;
  HttpFailure failure_;
  HttpRequest request_;
  bool keep_alive_ = false;
  bool http10_ = false;
  bool expects_continue_ = false;
};

}  // namespace hypura
