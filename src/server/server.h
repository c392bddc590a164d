// The whole server: HTTP, access, routes, counting and logging.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "hypura/result.h"
#include "server/access.h"
#include "server/api.h"
#include "server/http/http_server.h"
#include "server/http/http_service.h"

namespace hypura {

struct ServerOptions {
  HttpAddress address;
  HttpLimits limits;
  AccessRules access;               // check_host is decided by the address
  uint32_t context = 0;             // tokens of one answer; 0: what each model was opened with
  ModelLibrary* library = nullptr;  // outlives the server; null: the host's models are all there are
  bool allow_changes = false;       // clients on other machines may change what the library has
  ModelPulls* pulls = nullptr;      // outlives the server; null: nothing is fetched for clients
  MemoryKeeper* memory = nullptr;   // outlives the server; null: memory cannot be set
};

// Serves from start() until stop() or destruction. Any thread but the server's own.
class Server {
 public:
  // `host` and `metrics` must outlive the server and all exchanges. Fails as HttpServer::listen does.
  static Result<std::unique_ptr<Server>> start(const ServerOptions& options, std::vector<Route> routes, ModelHost& host,
                                               Metrics& metrics);
  virtual ~Server() = default;

  virtual uint16_t port() const = 0;
  virtual std::string url() const = 0;  // "http://127.0.0.1:8080"
  virtual bool is_loopback() const = 0;
  virtual void stop(std::chrono::milliseconds grace) = 0;
};

// Every API's routes and the page's.
std::vector<Route> all_routes();

}  // namespace hypura
