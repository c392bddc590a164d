#include "server/openai/chat_request.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <optional>
#include <utility>

#include "server/json/fields.h"
#include "server/ollama/options.h"
#include "server/openai/chat_messages.h"
#include "server/openai/request_fields.h"
#include "server/v1/answer_rules.h"
#include "server/v1/other_fields.h"
#include "server/v1/refusing.h"
#include "support/fail.h"

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
CompletionRequest read_common(Fields& in, uint32_t server_context, int64_t least_tokens) {
  CompletionRequest request;
  request.model = read_model(in);
  request.stream = in.boolean("stream").value_or(false);
  request.include_usage = read_include_usage(in);
  ollama::Options options = read_options(in);
  const std::optional<int64_t> limit = v1::read_token_limit(in, "max_tokens", least_tokens);
  const std::optional<int64_t> newer = v1::read_token_limit(in, "max_completion_tokens");
  options.num_predict = newer ? *newer : limit.value_or(-1);
  ollama::apply(options, server_context, request.answer);
  request.answer.sampling.logit_bias = read_logit_bias(in);
  // Clients of these APIs are told what does not fit, and shorten it themselves.
  request.answer.truncate = false;
  request.answer.shift = false;
  request.per_prompt = read_choices(in);
  return request;
}

// As many of each prompt as are wanted; with a seed, each has another.
void multiply(CompletionRequest& request, const std::vector<AnswerRequest>& prompts) {
  std::vector<AnswerRequest> all;
  for (const AnswerRequest& prompt : prompts) {
    for (size_t i = 0; i < request.per_prompt; ++i) {
      AnswerRequest& one = all.emplace_back(prompt);
      if (one.sampling.seed) {
        *one.sampling.seed += static_cast<uint32_t>(i);
      }
    }
  }
  request.answer = std::move(all.front());
  request.more.assign(std::make_move_iterator(all.begin() + 1), std::make_move_iterator(all.end()));
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
  answer.parallel_tool_calls = in.boolean("parallel_tool_calls").value_or(true);
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

// Other output than text is asked for.
void refuse_other_output(Fields& in) {
  const auto modalities = in.texts("modalities").value_or(std::vector<std::string>());
  const bool other =
      std::any_of(modalities.begin(), modalities.end(), [](const std::string& it) { return it != "text"; });
  if (other) {
    v1::refuse(in, "modalities: the models of this server write text only");
  }
  v1::refuse_fields(in, {{"audio", "the models of this server write text only"}});
}

// A text is what a user says; tokens are read as they stand.
AnswerRequest with_prompt(const AnswerRequest& request, const Json& prompt, Echo& echo) {
  AnswerRequest one = request;
  if (prompt.is_string()) {
    ChatMessage& message = one.messages.emplace_back();
    message.role = "user";
    message.content = echo.text = prompt.get<std::string>();
  } else {
    one.context = echo.tokens = prompt.get<std::vector<int32_t>>();
    one.prompt.emplace();
  }
  return one;
}

// A string, an array of strings, an array of tokens, or an array of those.
std::vector<AnswerRequest> read_prompts(Fields& in, CompletionRequest& request) {
  constexpr size_t kMostChoices = 2048;
  const Json* prompt = in.find("prompt");
  if (prompt == nullptr) {
    v1::refuse(in, "prompt is required");
    return {};
  }
  const Json alone = Json::array({*prompt});
  const Json& prompts = prompt->is_string() || is_tokens(*prompt) ? alone : *prompt;
  const auto readable = [](const Json& one) { return one.is_string() || is_tokens(one); };
  if (!prompts.is_array() || prompts.empty() || !std::all_of(prompts.begin(), prompts.end(), readable)) {
    v1::refuse(in, "prompt must be a string, an array of strings, an array of tokens or an array of arrays of tokens");
    return {};
  }
  if (prompts.size() * request.per_prompt > kMostChoices) {
    v1::refuse(in, fmt::format("prompt and n ask for {} completions; the maximum is {}",
                               prompts.size() * request.per_prompt, kMostChoices));
    return {};
  }
  std::vector<AnswerRequest> read;
  for (const Json& one : prompts) {
    read.push_back(with_prompt(request.answer, one, request.echoes.emplace_back()));
  }
  return read;
}

void read_echo(Fields& in, CompletionRequest& request) {
  const bool echo = in.boolean("echo").value_or(false);
  if (echo && request.answer.logprobs) {
    v1::refuse(in, "echo is not supported together with logprobs: this server gives those of new tokens only");
  }
  if (!echo) {
    request.echoes.clear();
  }
  const std::optional<int64_t> best_of = in.integer("best_of");
  if (best_of && *best_of != static_cast<int64_t>(request.per_prompt)) {
    v1::refuse(
        in, fmt::format("best_of must equal n, which is {}: this server returns every completion", request.per_prompt));
  }
}

}  // namespace

Result<CompletionRequest> read_chat_completion(const Json& json, uint32_t server_context) {
  Fields in(json, "ChatCompletionRequest");
  CompletionRequest request = read_common(in, server_context, 1);
  read_messages(in, request.answer);
  read_tools(in, request.answer);
  request.answer.json_schema = read_response_format(in);
  read_thinking(in, request.answer);
  read_logprobs(in, request.answer);
  refuse_other_output(in);
  v1::refuse_fields(in, {{"functions", "send tools instead"},
                         {"function_call", "send tool_choice instead"},
                         {"web_search_options", "this server searches nothing"},
                         {"moderation", "this server moderates nothing"}});
  v1::note_without_effect(in, {"prediction", "verbosity"});
  if (!in.status()) {
    return propagate(in.status().error());
  }
  multiply(request, {request.answer});
  return request;
}

Result<CompletionRequest> read_completion(const Json& json, uint32_t server_context) {
  Fields in(json, "CompletionRequest");
  CompletionRequest request = read_common(in, server_context, 0);
  request.suffix = in.text("suffix").value_or("");
  request.answer.logprobs = in.find("logprobs") != nullptr;
  request.answer.top_logprobs = read_top_logprobs(in, "logprobs");
  // The answer has no place for thoughts.
  request.answer.think = false;
  read_template_values(in, request.answer);
  const std::vector<AnswerRequest> prompts = read_prompts(in, request);
  read_echo(in, request);
  if (!in.status()) {
    return propagate(in.status().error());
  }
  multiply(request, prompts);
  return request;
}

}  // namespace hypura::openai
