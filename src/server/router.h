// Which route answers a request, and how each API says that none does.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/api.h"
#include "server/exchange.h"

namespace hypura {

// Immutable; any thread.
class Router {
 public:
  struct Match {
    const Route* route = nullptr;  // of the router
    std::string allowed;           // without a route: the methods that the path has, "GET, HEAD"; empty: no such path
  };

  explicit Router(std::vector<Route> routes) : routes_(std::move(routes)) {}

  // An exact path goes before a pattern with "*", and a longer pattern before a shorter one.
  Match find(std::string_view method, std::string_view path) const;

  // What a request is counted under: "POST /api/chat", "GET /v1/models/*", or "other" for what has no route.
  std::string label(const HttpRequest& request) const;

 private:
  std::vector<Route> routes_;
};

// An error in the form of the API that the path belongs to: "/v1/messages" is Anthropic's, "/v1/" OpenAI's, the rest is
// Ollama's.
HttpResponse error_response(std::string_view path, int status, const std::string& sentence);

}  // namespace hypura
