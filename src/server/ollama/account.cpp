// What Ollama does with ollama.com: this server talks to no other.
#include <fmt/format.h>

#include "server/ollama/replies.h"
#include "server/ollama/routes.h"

namespace hypura::ollama {

void handle_account(const ApiContext& /*context*/, const std::shared_ptr<Exchange>& exchange) {
  // Clients read this as "not signed in".
  exchange->respond(error_reply(401, "unauthorized"));
}

void handle_status(const ApiContext& /*context*/, const std::shared_ptr<Exchange>& exchange) {
  exchange->respond(json_reply({{"cloud", {{"disabled", true}, {"source", "env"}}}}));
}

void handle_cloud(const ApiContext& /*context*/, const std::shared_ptr<Exchange>& exchange) {
  exchange->respond(
      error_reply(501, fmt::format("{} is not served here: it needs ollama.com", exchange->request().path)));
}

}  // namespace hypura::ollama
