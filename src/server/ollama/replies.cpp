#include "server/ollama/replies.h"

#include <fmt/format.h>

#include <utility>

#include "server/answering.h"

namespace hypura::ollama {

HttpResponse json_reply(const Json& json, int status) {
  HttpResponse response;
  response.status = status;
  response.body = dump_json(json);
  return response;
}

HttpResponse error_reply(int status, std::string_view text) {
  return json_reply({{"error", text}}, status);
}

HttpResponse error_reply(const Error& error) {
  return error_reply(http_status(error.code), error.message);
}

HttpResponse not_found(const std::string& model) {
  return error_reply(404, fmt::format("model '{}' not found", model));
}

HttpResponse no_support(const std::string& model, std::string_view what, int status) {
  return error_reply(status, fmt::format("\"{}\" does not support {}", model, what));
}

std::optional<Json> read_body(Exchange& exchange) {
  Result<Json> json = parse_json(exchange.request().body);
  if (!json) {
    exchange.respond(error_reply(json.error()));
    return std::nullopt;
  }
  return std::move(*json);
}

}  // namespace hypura::ollama
