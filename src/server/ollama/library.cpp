// What takes models away: DELETE /api/delete; and what this server does not do, which it says.
#include "server/library.h"

#include <fmt/format.h>

#include <optional>
#include <string>

#include "server/ollama/named_request.h"
#include "server/ollama/replies.h"
#include "server/ollama/routes.h"

namespace hypura::ollama {

void handle_delete(const ApiContext& context, const std::shared_ptr<Exchange>& exchange) {
  const std::optional<NamedRequest> request = read_named(*exchange, "DeleteRequest");
  if (!request) {
    return;
  }
  find_soon(context, request->name, [&context, exchange, name = request->name](const ModelPtr& model) {
    if (model == nullptr) {
      exchange->respond(not_found(name));
      return;
    }
    if (context.library == nullptr) {
      exchange->respond(
          error_reply(403, fmt::format("model '{}' is not deleted: {}", name, only_served(context.host))));
      return;
    }
    if (!may_change(context, *exchange)) {
      exchange->respond(error_reply(403, kMayNotChange));
      return;
    }
    context.library->remove(model->name, [exchange](const Status& done) {
      HttpResponse nothing;
      nothing.content_type.clear();
      // What may not be deleted here is known: it was asked for by a client, which can do nothing about it.
      const bool forbidden = !done && done.error().code == ErrorCode::kUsage;
      exchange->respond(done        ? nothing
                        : forbidden ? error_reply(403, done.error().message)
                                    : error_reply(done.error()));
    });
  });
}

void handle_other_change(const ApiContext& context, const std::shared_ptr<Exchange>& exchange) {
  exchange->respond(error_reply(501, only_served(context.host)));
}

void handle_blob_head(const ApiContext& /*context*/, const std::shared_ptr<Exchange>& exchange) {
  exchange->respond(error_reply(404, "blob not found: this server keeps none"));
}

}  // namespace hypura::ollama
