#include <fmt/format.h>

#include <string>

#include "server/api.h"
#include "server/openai/handlers.h"
#include "server/openai/replies.h"

namespace hypura {

namespace openai {

void not_offered(const ApiContext& /*context*/, const ExchangePtr& exchange) {
  exchange->respond(error_reply(
      404, fmt::format("{} is not offered: this server answers /v1/chat/completions, /v1/completions, /v1/embeddings, "
                       "/v1/responses, /v1/messages and /v1/models",
                       exchange->request().path)));
}

void responses_not_kept(const ApiContext& /*context*/, const ExchangePtr& exchange) {
  exchange->respond(error_reply(404, "this server keeps no responses: send the whole conversation as input"));
}

}  // namespace openai

std::vector<Route> openai_routes() {
  using namespace openai;
  return {
      {"GET", "/v1/models", list_models},
      {"GET", "/v1/models/*", show_model},
      {"DELETE", "/v1/models/*", not_offered},
      {"POST", "/v1/chat/completions", chat_completions},
      {"POST", "/v1/completions", completions},
      {"POST", "/v1/embeddings", embeddings},
      {"POST", "/v1/responses", responses},
      {"GET", "/v1/responses/*", responses_not_kept},
      {"POST", "/v1/responses/*", responses_not_kept},
      {"DELETE", "/v1/responses/*", responses_not_kept},
      {"POST", "/v1/audio/*", not_offered},
      {"POST", "/v1/images/*", not_offered},
      {"POST", "/v1/moderations", not_offered},
      {"GET", "/v1/files", not_offered},
      {"POST", "/v1/files", not_offered},
      {"POST", "/v1/batches", not_offered},
  };
}

}  // namespace hypura
