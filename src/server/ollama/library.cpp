// What changes the set of models: this server has those that it was started with, and says so.
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
  for (const ServedModel& model : host.models()) {
    names += (names.empty() ? "" : ", ") + model.name;
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
  exchange->respond(
      context.host.find(request->name) == nullptr
          ? not_found(request->name)
          : error_reply(403, fmt::format("model '{}' is not deleted: {}", request->name, only_served(context.host))));
}

void handle_copy(const ApiContext& context, const std::shared_ptr<Exchange>& exchange) {
  const std::optional<Json> body = read_body(*exchange);
  if (!body) {
    return;
  }
  Fields in(*body, "CopyRequest");
  const std::string source = in.text("source").value_or("");
  if (!in.status()) {
    exchange->respond(error_reply(in.status().error()));
    return;
  }
  exchange->respond(context.host.find(source) == nullptr ? not_found(source)
                                                         : error_reply(501, only_served(context.host)));
}

void handle_other_change(const ApiContext& context, const std::shared_ptr<Exchange>& exchange) {
  exchange->respond(error_reply(501, only_served(context.host)));
}

void handle_blob_head(const ApiContext& /*context*/, const std::shared_ptr<Exchange>& exchange) {
  exchange->respond(error_reply(404, "blob not found: this server keeps none"));
}

}  // namespace hypura::ollama
