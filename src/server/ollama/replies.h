// Answers of the Ollama-native API that are one JSON object. Any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "hypura/result.h"
#include "server/exchange.h"
#include "server/json/json.h"
#include "server/model_host.h"

namespace hypura::ollama {

HttpResponse json_reply(const Json& json, int status = 200);

// {"error":text}
HttpResponse error_reply(int status, std::string_view text);
HttpResponse error_reply(const Error& error);  // with the status of http_status()

// 404: model 'x' not found
HttpResponse not_found(const std::string& model);

// 400: "x" does not support tools
HttpResponse no_support(const std::string& model, std::string_view what, int status = 400);

// The body as JSON; when it is none, the exchange is answered and nothing returned.
std::optional<Json> read_body(Exchange& exchange);

}  // namespace hypura::ollama
