// Requests over HTTP: the seam to libcurl. Several run at once, all driven by the one thread that owns the client.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "hypura/result.h"
#include "store/fetch/byte_ranges.h"
#include "store/fetch/file_lock.h"

namespace hypura {

struct WebRequest {
  std::string url;
  std::string token;                 // sent as a bearer's, if not empty, to the origin of `url` and to no other
  std::vector<std::string> headers;  // "Name: value"
  std::optional<ByteRange> range;    // the bytes that are asked for
};

// What came before the body.
struct WebHead {
  int status = 0;
  std::string url;                             // that answered
  std::map<std::string, std::string> headers;  // names in lower case
  std::string header(const std::string& name) const;
};

struct WebFailure {
  Error error;
  bool temporary = false;  // trying again may help
};

template <class T>
using WebResult = tl::expected<T, WebFailure>;

// One request and what becomes of it. The functions are called by WebClient::work.
struct WebCall {
  WebRequest request;
  // Whether the body is wanted: where not, the call ends well without it. An error ends it.
  std::function<Result<bool>(const WebHead&)> on_head;
  std::function<Status(std::span<const uint8_t>)> on_bytes;
  std::function<void(const WebResult<WebHead>&)> on_end;
};

struct WebPage {
  WebHead head;
  std::map<std::string, std::string> seen;  // headers of the redirects on the way, the first of a name
  std::string body;
};

// Redirects are not followed by begin(), and up to ten by get(). Proxies are those that the environment names, as curl
// reads it (https_proxy, no_proxy, …); certificates are checked against the system's. A server that is silent for a
// minute counts as gone. Thread-compatible: one thread at a time.
class WebClient {
 public:
  static Result<std::unique_ptr<WebClient>> make();
  ~WebClient();
  WebClient(const WebClient&) = delete;
  WebClient& operator=(const WebClient&) = delete;

  void begin(WebCall call);
  size_t under_way() const { return calls_.size(); }
  // Waits for something to happen, at most so long, and calls what is to be called; those calls may begin others.
  void work(std::chrono::milliseconds most);
  // Ends all calls without a word.
  void drop();

  // Asks for a page and follows redirects; the token goes no further than the first address's origin. `most`: bytes
  // that the body may have; none: it is not read. Whatever the status, a page is no failure. Ends with kCancelled when
  // `keep_going` says so.
  WebResult<WebPage> get(WebRequest request, std::optional<size_t> most, const KeepGoing& keep_going);

 private:
  struct Transfer;

  explicit WebClient(void* multi);

  WebResult<WebPage> get_one(const WebRequest& request, std::optional<size_t> most, const KeepGoing& keep_going);
  void end(void* easy, int code);

  void* multi_;  // CURLM
  std::vector<std::unique_ptr<Transfer>> calls_;
};

// Whether a status says that trying again may help: 408, 425, 429 and 5xx that pass.
bool is_temporary(int status);

// How often, and after how long, something is tried again.
struct RetryPolicy {
  unsigned most = 5;  // failures in a row that are forgiven
  std::chrono::milliseconds first_wait{500};
  std::chrono::milliseconds longest_wait{30000};

  // After `failures` in a row, 1 or more: doubled each time.
  std::chrono::milliseconds wait(unsigned failures) const;
};

// Waits; false when `keep_going` ended it.
bool wait_unless_stopped(std::chrono::milliseconds time, const KeepGoing& keep_going);

// WebClient::get, tried again after temporary failures and statuses by `policy`.
Result<WebPage> get_patiently(WebClient& client, const WebRequest& request, std::optional<size_t> most,
                              const RetryPolicy& policy, const KeepGoing& keep_going);

}  // namespace hypura
