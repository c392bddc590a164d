// A server for HTTP/1.1 and 1.0: one thread for all sockets, a few for the routes.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "hypura/result.h"
#include "server/http/http_service.h"

namespace hypura {

// Where a server listens.
struct HttpAddress {
  std::string host = "127.0.0.1";  // a name, or an address: IPv4, or IPv6 with or without brackets
  uint16_t port = 8080;            // 0: one that is free
};

class HttpServer {
 public:
  // Takes the address; clients that connect wait until serve(). `service` must live until the server has stopped. Fails
  // with kUsage, naming the address, when it is taken, not one of this machine, or not allowed.
  static Result<std::unique_ptr<HttpServer>> listen(const HttpAddress& address, const HttpLimits& limits,
                                                    HttpService& service);

  // Stops at once.
  virtual ~HttpServer() = default;

  // Starts the server's threads. Once.
  virtual void serve() = 0;

  virtual uint16_t port() const = 0;
  virtual std::string ip() const = 0;  // "127.0.0.1", "::1"
  virtual bool is_loopback() const = 0;

  // Takes no more requests. Answers under way get `grace` to end; then they are cancelled as if their clients had
  // gone, and get a little time to say so. Afterwards the service is not called any more. Not on a server thread.
  virtual void stop(std::chrono::milliseconds grace) = 0;
};

}  // namespace hypura
