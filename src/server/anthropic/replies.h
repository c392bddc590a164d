// What all answers in Anthropic's form share. Any thread.
#pragma once

#include <string>
#include <string_view>

#include "hypura/generator.h"
#include "hypura/result.h"
#include "server/exchange.h"
#include "server/json/json.h"

namespace hypura::anthropic {

// {"type":"error","error":{"type","message"},"request_id":"req_…"}
HttpResponse error_reply(int status, const std::string& message);
// With the status of http_status(). A prompt that is too long is told as Anthropic tells it.
HttpResponse error_reply(const Error& error);

// The last event of a stream that fails.
std::string error_event(const Error& error);

// 200, with a request's id in a header.
HttpResponse json_reply(const Json& json);

// "end_turn", "max_tokens", "model_context_window_exceeded", "stop_sequence", or "tool_use" when there was a call.
std::string_view stop_reason(StopReason stop, bool called);

}  // namespace hypura::anthropic
