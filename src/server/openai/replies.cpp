#include "server/openai/replies.h"

#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "server/answering.h"
#include "server/json/logprobs.h"
#include "server/router.h"
#include "support/random_id.h"

namespace hypura::openai {

namespace {

// Whatever is below it has errors of the same form.
constexpr std::string_view kPath = "/v1";

Json logprob_json(const std::string& text, float logprob) {
  return {{"token", text}, {"logprob", finite_logprob(logprob)}, {"bytes", bytes_json(text)}};
}

}  // namespace

HttpResponse json_reply(const Json& json) {
  HttpResponse response;
  response.body = dump_json(json);
  return response;
}

HttpResponse error_reply(int status, const std::string& message) {
  return error_response(kPath, status, message);
}

HttpResponse error_reply(const Error& error) {
  return error_reply(http_status(error.code), error.message);
}

HttpResponse error_reply(const Error& error, std::string_view param) {
  if (!error.overflow) {
    return error_reply(error);
  }
  HttpResponse response;
  response.status = http_status(error.code);
  response.body =
      dump_json({{"error",
                  {{"message", fmt::format("This model's maximum context length is {} tokens. However, your "
                                           "{} resulted in {} tokens. Please reduce the length of the {}.",
                                           error.overflow->limit, param, error.overflow->tokens, param)},
                   {"type", "invalid_request_error"},
                   {"param", param},
                   {"code", "context_length_exceeded"}}}});
  return response;
}

std::string error_event(const Error& error) {
  return "data: " + error_reply(error).body + "\n\n";
}

int64_t now_seconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

Json usage_json(const AnswerEnd& end) {
  return {{"prompt_tokens", end.prompt_tokens},
          {"completion_tokens", end.answer_tokens},
          {"total_tokens", end.prompt_tokens + end.answer_tokens},
          {"prompt_tokens_details", {{"cached_tokens", end.cached_prompt_tokens}}},
          {"completion_tokens_details", {{"reasoning_tokens", end.thinking_tokens}}}};
}

Json usage_json(const std::vector<AnswerChoice>& choices, size_t per_prompt) {
  AnswerEnd sum;
  for (size_t i = 0; i < choices.size(); ++i) {
    const AnswerEnd& end = choices[i].end;
    sum.answer_tokens += end.answer_tokens;
    sum.thinking_tokens += end.thinking_tokens;
    if (i % per_prompt == 0) {
      sum.prompt_tokens += end.prompt_tokens;
      sum.cached_prompt_tokens += end.cached_prompt_tokens;
    }
  }
  return usage_json(sum);
}

std::string_view finish_reason(StopReason stop, bool called) {
  if (called) {
    return "tool_calls";
  }
  return stop == StopReason::kLength || stop == StopReason::kContextFull ? "length" : "stop";
}

Json tool_calls_json(const std::vector<ToolCall>& calls, size_t first) {
  Json json = Json::array();
  for (const ToolCall& call : calls) {
    json.push_back({{"id", call.id.empty() ? random_id("call_") : call.id},
                    {"index", first++},
                    {"type", "function"},
                    {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
  }
  return json;
}

Json logprobs_json(const std::vector<TokenLogprob>& logprobs) {
  Json json = Json::array();
  for (const TokenLogprob& token : logprobs) {
    Json one = logprob_json(token.text, token.logprob);
    Json& top = one["top_logprobs"] = Json::array();
    for (const auto& [text, logprob] : token.top) {
      top.push_back(logprob_json(text, logprob));
    }
    json.push_back(std::move(one));
  }
  return json;
}

}  // namespace hypura::openai
