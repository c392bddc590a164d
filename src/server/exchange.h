// One HTTP request and the way to answer it: what the routes know of HTTP. No library's types are in here.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace hypura {

struct HttpRequest {
  std::string method;                                        // upper case
  std::string path;                                          // percent-decoded, without the query
  std::string query;                                         // as it came, without '?'
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;                                          // whole, de-chunked
  bool head_only = false;                                    // HEAD: the body of the answer is left out
  bool from_here = false;                                    // the client is on this machine, by its address

  // The first header of that name (lower case); empty when there is none.
  std::string header(const std::string& name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json; charset=utf-8";  // empty: no body, no header
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

// The answer to one request: either respond(), or start(), any number of write() and finish(). All functions may be
// called from any thread, none blocks, and none fails: what is written to a client that has gone is dropped.
class Exchange {
 public:
  virtual ~Exchange() = default;

  virtual const HttpRequest& request() const = 0;

  virtual void respond(HttpResponse response) = 0;

  // Begins a response of unknown length; `response.body` is its first piece.
  virtual void start(HttpResponse response) = 0;
  // A piece, sent at once.
  virtual void write(std::string piece) = 0;
  virtual void finish() = 0;

  // Called once, on a server thread, when the client goes before the answer is complete; at once when it has gone.
  virtual void on_gone(std::function<void()> callback) = 0;

  // Asked for once: called on a server thread, which it must not block, each time that the answer has been under way
  // for long (HttpLimits::quiet_time) without anything written. Not when the answer is complete or the client has gone,
  // but a call may still run while another thread completes it.
  virtual void on_quiet(std::function<void()> callback) = 0;

  // What an answer took, for the log's line of this request; Metrics::watch does this.
  virtual void count_tokens(uint32_t /*prompt*/, uint32_t /*answer*/) {}

  // A prompt or text of `from` tokens was cut to `to`; of several, the line tells the longest.
  virtual void note_cut(uint32_t /*from*/, uint32_t /*to*/) {}
};

}  // namespace hypura
