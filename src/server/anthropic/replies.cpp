#include "server/anthropic/replies.h"

#include <fmt/format.h>

#include "server/answering.h"
#include "server/router.h"
#include "support/random_id.h"

namespace hypura::anthropic {

namespace {

// Its errors have the form of this API.
constexpr std::string_view kPath = "/v1/messages";

}  // namespace

HttpResponse error_reply(int status, const std::string& message) {
  return error_response(kPath, status, message);
}

HttpResponse error_reply(const Error& error) {
  if (error.overflow) {
    return error_reply(http_status(error.code), fmt::format("prompt is too long: {} tokens > {} maximum",
                                                            error.overflow->tokens, error.overflow->limit));
  }
  return error_reply(http_status(error.code), error.message);
}

std::string error_event(const Error& error) {
  return "event: error\ndata: " + error_reply(error).body + "\n\n";
}

HttpResponse json_reply(const Json& json) {
  HttpResponse response;
  response.body = dump_json(json);
  response.headers.emplace_back("request-id", random_id("req_"));
  return response;
}

std::string_view stop_reason(StopReason stop, bool called) {
  if (called) {
    return "tool_use";
  }
  if (stop == StopReason::kStopString) {
    return "stop_sequence";
  }
  if (stop == StopReason::kContextFull) {
    return "model_context_window_exceeded";
  }
  return stop == StopReason::kLength ? "max_tokens" : "end_turn";
}

}  // namespace hypura::anthropic
