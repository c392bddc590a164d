// What stands behind an HTTP server: who is let in, what answers, what is told of it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "server/exchange.h"

namespace hypura {

// What one client may take. A request that goes beyond is answered with the status named, and its connection closed.
struct HttpLimits {
  size_t header_bytes = 64 << 10;                // 431
  size_t body_bytes = 64 << 20;                  // 413
  size_t connections = 1024;                     // 503
  size_t outbox_bytes = 4 << 20;                 // waiting to be sent of a stream; a reader slower than that is dropped
  std::chrono::milliseconds header_time{15000};  // from a request's first byte to the end of its header; 408
  std::chrono::milliseconds body_time{30000};    // without a byte of the body; 408
  size_t body_bytes_per_second = 1024;           // and on average, after a first body_time; 408
  std::chrono::milliseconds idle_time{75000};    // without a request
  std::chrono::milliseconds write_time{60000};   // without the client taking a byte
  std::chrono::milliseconds quiet_time{10000};   // without a byte of an answer, until Exchange::on_quiet is called
  std::chrono::milliseconds linger_time{2000};   // for a client to read a refusal while its request still arrives
  std::chrono::milliseconds last_words_time{2000};   // for answers that a stop has cancelled to end
  std::chrono::milliseconds half_closed_time{2000};  // until a client that sends no more is asked whether it listens
  // Threads that routes run on. Requests with large bodies, which take long to read, have threads of their own, and so
  // have requests without any body, which never wait for the others.
  uint32_t workers = 4;
  uint32_t large_workers = 2;
  uint32_t quick_workers = 2;
  size_t large_body = 64 << 10;  // bytes from which a body is large
};

// How a request ended.
struct HttpOutcome {
  int status = 0;  // 499: the client went before it had all of the answer
  double seconds = 0;
  uint64_t sent_bytes = 0;
  uint32_t prompt_tokens = 0;
  uint32_t answer_tokens = 0;
  uint32_t cut_from = 0;  // tokens of the longest prompt or text that was cut, before and after
  uint32_t cut_to = 0;
};

// All functions are called by server threads and must be thread-safe. Those marked (I/O) must not block: they run on
// the thread that serves all sockets.
class HttpService {
 public:
  virtual ~HttpService() = default;

  // (I/O) A request's header has come, its body not yet: a response refuses it.
  virtual std::optional<HttpResponse> admit(const HttpRequest& request) = 0;

  // Answers a request, now or later. On a worker thread. An exception, or an exchange that goes without an answer,
  // is answered with 500.
  virtual void handle(const std::shared_ptr<Exchange>& exchange) = 0;

  // (I/O) The response to a request that cannot be handled; what is known of it is in `request`.
  virtual HttpResponse error(const HttpRequest& request, int status, const std::string& sentence) const = 0;

  // (I/O) Adds headers that every response has.
  virtual void decorate(const HttpRequest& request, HttpResponse& response) const = 0;

  // (I/O) Called once for each request that was admitted or refused.
  virtual void answered(const HttpRequest& request, const HttpOutcome& outcome) = 0;
};

}  // namespace hypura
