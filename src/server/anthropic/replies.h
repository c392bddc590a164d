// What all answers in Anthropic's form share. Any thread.
#pragma once

#include <string>
#include <string_view>

#include "hypura/result.h"
#include "hypura/serving.h"
#include "server/exchange.h"
#include "server/json/json.h"

namespace hypura::anthropic {

// {"type":"error","error":{"type","message"},"request_id":"req_…"}
HttpResponse error_reply(int status, const std::string& message);
HttpResponse error_reply(const Error& error);  // with the status of http_status()

// The last event of a stream that fails.
std::string error_event(const Error& error);

// 200, with a request's id in a header.
HttpResponse json_reply(const Json& json);

// "end_turn", "max_tokens", "stop_sequence", or "tool_use" when there was a call.
std::string_view stop_reason(AnswerStop stop, bool called);

}  // namespace hypura::anthropic
