#include "server/ollama/named_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "server/ollama/replies.h"
#include "server/ollama/requests.h"
#include "support/fail.h"

namespace hypura::ollama {

namespace {

constexpr size_t kLongestName = 350;

// [host/][namespace/]model[:tag]
bool is_model_name(const std::string& name) {
  const auto fits = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.' || c == '/' || c == ':';
  };
  return !name.empty() && name.size() <= kLongestName && std::all_of(name.begin(), name.end(), fits) &&
         name.find("..") == std::string::npos && name.find("//") == std::string::npos && name.front() != '/' &&
         name.front() != ':' && name.back() != '/' && name.back() != ':';
}

std::string served_names(const ModelHost& host) {
  std::string names;
  for (const ModelPtr& model : host.models()) {
    names += (names.empty() ? "" : ", ") + model->name;
  }
  return names;
}

}  // namespace

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

std::string only_served(const ModelHost& host) {
  return fmt::format("this server offers only {}; start hypura serve with another model's file to offer that",
                     served_names(host));
}

void succeed(Exchange& exchange, bool stream) {
  HttpResponse response;
  response.body = dump_json({{"status", "success"}});
  if (!stream) {
    exchange.respond(std::move(response));
    return;
  }
  response.content_type = "application/x-ndjson";
  response.body += "\n";
  exchange.start(std::move(response));
  exchange.finish();
}

}  // namespace hypura::ollama
