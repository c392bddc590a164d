// What all answers in OpenAI's form share. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hypura/generator.h"
#include "hypura/result.h"
#include "server/answering.h"
#include "server/exchange.h"
#include "server/json/json.h"

namespace hypura::openai {

HttpResponse json_reply(const Json& json);

// {"error":{"message","type","param":null,"code":null}}
HttpResponse error_reply(int status, const std::string& message);
HttpResponse error_reply(const Error& error);  // with the status of http_status()

// The same; a prompt that is too long, which the request has in the field `param`, is told as OpenAI tells it, with the
// code context_length_exceeded.
HttpResponse error_reply(const Error& error, std::string_view param);

// The last event of a stream that fails.
std::string error_event(const Error& error);

// Seconds since 1970.
int64_t now_seconds();

Json usage_json(const AnswerEnd& end);

// Of several choices, `per_prompt` of each prompt: a prompt counts once.
Json usage_json(const std::vector<AnswerChoice>& choices, size_t per_prompt);

// "stop", "length", or "tool_calls" when there were some.
std::string_view finish_reason(StopReason stop, bool called);

// [{"id","index","type":"function","function":{"name","arguments"}}]; the first has index `first`.
Json tool_calls_json(const std::vector<ToolCall>& calls, size_t first);

// [{"token","logprob","bytes","top_logprobs"}]
Json logprobs_json(const std::vector<TokenLogprob>& logprobs);

}  // namespace hypura::openai
