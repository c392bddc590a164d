// What the routes of all APIs share.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/exchange.h"
#include "server/model_host.h"

namespace hypura {

class MemoryKeeper;  // server/memory_keeper.h
class Metrics;       // server/metrics.h
class ModelLibrary;  // server/library.h
class ModelPulls;    // server/pulls.h

// What a route answers with. Outlives all exchanges.
struct ApiContext {
  ModelHost& host;
  Metrics& metrics;
  uint32_t context = 0;             // of one answer, by default; 0: the model's own
  ModelLibrary* library = nullptr;  // null: the host offers what it was started with, and nothing changes that
  bool allow_changes = false;       // clients on other machines may change what is offered
  ModelPulls* pulls = nullptr;      // null: nothing is fetched for clients
  MemoryKeeper* memory = nullptr;   // null: memory stays as it is
};

// One route. `pattern` is a path; a last segment "*" takes the rest of it, slashes included. A route that answers GET
// answers HEAD when `head` says so.
struct Route {
  std::string method;
  std::string pattern;
  void (*handle)(const ApiContext& context, const std::shared_ptr<Exchange>& exchange) = nullptr;
  bool head = false;
};

std::vector<Route> ollama_routes();     // server/ollama/
std::vector<Route> openai_routes();     // server/openai/
std::vector<Route> anthropic_routes();  // server/anthropic/
std::vector<Route> page_routes();       // server/page/: the page at "/", its live data, /metrics
std::vector<Route> memory_routes();     // /hypura/memory

}  // namespace hypura
