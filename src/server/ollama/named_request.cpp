#include "server/ollama/named_request.h"

#include <fmt/format.h>

#include <utility>

#include "server/ollama/replies.h"
#include "server/ollama/requests.h"
#include "store/names/model_name.h"

namespace hypura::ollama {

namespace {

std::string served_names(const ModelHost& host) {
  std::string names;
  for (const ModelPtr& model : host.models()) {
    names += (names.empty() ? "" : ", ") + model->name;
  }
  return names;
}

// What a registry might be asked with besides, and is not.
void refuse_access(Fields& in) {
  if (in.boolean("insecure").value_or(false)) {
    in.refuse({ErrorCode::kUsage,
               "insecure is not supported: registries are asked over https, those on this machine "
               "over http too; leave it out"});
  }
  for (const char* field : {"username", "password"}) {
    if (!in.text(field).value_or("").empty()) {
      in.refuse({ErrorCode::kUsage,
                 fmt::format("{} is not supported: registries that want a login are not asked; leave it out", field)});
    }
  }
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
  refuse_access(in);
  if (!in.status()) {
    exchange.respond(error_reply(in.status().error()));
    return std::nullopt;
  }
  if (!read_model_name(request.name, FilesAs::kErrors)) {
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
