// What takes models away: DELETE /api/delete; and what this server does not do, which it says.
#include "server/library.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <string>
#include <utility>

#include "server/ollama/replies.h"
#include "server/ollama/requests.h"
#include "server/ollama/routes.h"

namespace hypura::ollama {

namespace {

// Setup flows pull before they chat, so success must be told in the form they expect.
constexpr const char* kSuccess = "{\"status\":\"success\"}";
constexpr size_t kLongestName = 350;

struct NamedRequest {
  std::string name;
  bool stream = true;
};

// [host/][namespace/]model[:tag]
bool is_model_name(const std::string& name) {
  const auto fits = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.' || c == '/' || c == ':';
  };
  return !name.empty() && name.size() <= kLongestName && std::all_of(name.begin(), name.end(), fits) &&
         name.find("..") == std::string::npos && name.find("//") == std::string::npos && name.front() != '/' &&
         name.front() != ':' && name.back() != '/' && name.back() != ':';
}

// The name that a request is about; when it has none, the exchange is answered and nothing returned.
std::optional<NamedRequest> read_named(Exchange& exchange, const std::string& owner) {
  const std::optional<Json> body = read_body(exchange);
  if (!body) {
    return std::nullopt;
  }
  Fields in(*body, owner);
  NamedRequest request;
  request.name = model_field(in);
  request.stream = in.boolean("stream").value_or(true);
  if (!in.status()) {
    exchange.respond(error_reply(in.status().error()));
    return std::nullopt;
  }
  if (!is_model_name(request.name)) {
    exchange.respond(error_reply(400, "invalid model name"));
    return std::nullopt;
  }
  return request;
}

std::string served_names(const ModelHost& host) {
  std::string names;
  for (const ModelPtr& model : host.models()) {
    names += (names.empty() ? "" : ", ") + model->name;
  }
  return names;
}

std::string only_served(const ModelHost& host) {
  return fmt::format("this server offers only {}; start hypura serve with another model's file to offer that",
                     served_names(host));
}

}  // namespace

void handle_pull(const ApiContext& context, const std::shared_ptr<Exchange>& exchange) {
  const std::optional<NamedRequest> request = read_named(*exchange, "PullRequest");
  if (!request) {
    return;
  }
  if (context.host.find(request->name) == nullptr) {
    exchange->respond(
        error_reply(404, fmt::format("model '{}' not found: {}", request->name, only_served(context.host))));
    return;
  }
  HttpResponse response;
  response.body = kSuccess;
  if (!request->stream) {
    exchange->respond(std::move(response));
    return;
  }
  response.content_type = "application/x-ndjson";
  response.body += "\n";
  exchange->start(std::move(response));
  exchange->finish();
}

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
