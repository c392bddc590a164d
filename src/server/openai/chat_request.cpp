#include "server/openai/chat_request.h"

#include <optional>
#include <utility>

#include "server/json/fields.h"
#include "server/ollama/options.h"
#include "server/openai/chat_messages.h"
#include "server/openai/request_fields.h"
#include "server/v1/answer_rules.h"
#include "server/v1/refusing.h"

namespace hypura::openai {

namespace {

bool read_include_usage(Fields& in) {
  const Json* options = in.object("stream_options");
  if (options == nullptr) {
    return false;
  }
  Fields inner(*options, "stream_options");
  const bool include = inner.boolean("include_usage").value_or(false);
  v1::join_status(in, inner);
  return include;
}

// What both requests have.
CompletionRequest read_common(Fields& in, uint32_t server_context) {
  CompletionRequest request;
  request.model = read_model(in);
  request.stream = in.boolean("stream").value_or(false);
  request.include_usage = read_include_usage(in);
  ollama::Options options = read_options(in);
  const std::optional<int64_t> limit = v1::read_token_limit(in, "max_tokens");
  const std::optional<int64_t> newer = v1::read_token_limit(in, "max_completion_tokens");
  options.num_predict = newer ? *newer : limit.value_or(-1);
  ollama::apply(options, server_context, request.answer);
  return request;
}

void read_thinking(Fields& in, AnswerRequest& answer) {
  if (const Json* reasoning = in.object("reasoning")) {
    Fields inner(*reasoning, "reasoning");
    read_effort(inner, "effort", answer);
    v1::join_status(in, inner);
  }
  read_effort(in, "reasoning_effort", answer);
  read_template_values(in, answer);
}

std::optional<std::string> read_response_format(Fields& in) {
  const Json* format = in.object("response_format");
  if (format == nullptr) {
    return std::nullopt;
  }
  Fields inner(*format, "response_format");
  std::optional<std::string> schema = read_format(inner, inner.object("json_schema"));
  v1::join_status(in, inner);
  return schema;
}

void read_messages(Fields& in, AnswerRequest& answer) {
  if (const Json* messages = in.array("messages")) {
    answer.messages = read_chat_messages(in, *messages);
  }
  if (in.status() && answer.messages.empty()) {
    v1::refuse(in, "[] is too short - 'messages'");
  }
}

void read_tools(Fields& in, AnswerRequest& answer) {
  if (const Json* tools = in.array("tools")) {
    answer.tools = read_chat_tools(in, *tools);
  }
  const v1::ToolRule rule = read_tool_choice(in);
  if (!in.status()) {
    return;
  }
  if (const Status applied = v1::apply(rule, answer); !applied) {
    in.refuse(applied.error());
  }
}

void read_logprobs(Fields& in, AnswerRequest& answer) {
  answer.logprobs = in.boolean("logprobs").value_or(false);
  answer.top_logprobs = read_top_logprobs(in, "top_logprobs");
  if (answer.top_logprobs > 0 && !answer.logprobs) {
    v1::refuse(in, "top_logprobs needs logprobs to be true");
  }
}

}  // namespace

Result<CompletionRequest> read_chat_completion(const Json& json, uint32_t server_context) {
  Fields in(json, "ChatCompletionRequest");
  CompletionRequest request = read_common(in, server_context);
  read_messages(in, request.answer);
  read_tools(in, request.answer);
  request.answer.json_schema = read_response_format(in);
  read_thinking(in, request.answer);
  read_logprobs(in, request.answer);
  if (!in.status()) {
    return propagate(in.status().error());
  }
  return request;
}

Result<CompletionRequest> read_completion(const Json& json, uint32_t server_context) {
  Fields in(json, "CompletionRequest");
  CompletionRequest request = read_common(in, server_context);
  const std::optional<std::string> prompt = in.text("prompt");
  if (in.status() && !prompt) {
    v1::refuse(in, "prompt is required");
  }
  ConversationMessage& message = request.answer.messages.emplace_back();
  message.role = "user";
  message.content = prompt.value_or("");
  request.suffix = in.text("suffix").value_or("");
  request.answer.logprobs = in.find("logprobs") != nullptr;
  request.answer.top_logprobs = read_top_logprobs(in, "logprobs");
  // The answer has no place for thoughts.
  request.answer.think = false;
  read_template_values(in, request.answer);
  if (!in.status()) {
    return propagate(in.status().error());
  }
  return request;
}

}  // namespace hypura::openai
