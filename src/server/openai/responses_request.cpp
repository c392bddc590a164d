#include "server/openai/responses_request.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "server/json/fields.h"
#include "server/ollama/options.h"
#include "server/openai/request_fields.h"
#include "server/openai/responses_input.h"
#include "server/v1/answer_rules.h"
#include "server/v1/other_fields.h"
#include "server/v1/refusing.h"
#include "support/fail.h"

namespace hypura::openai {

namespace {

Json value_or(const Fields& in, std::string_view key, Json otherwise) {
  const Json* value = in.find(key);
  if (value != nullptr) {
    return *value;
  }
  return otherwise;
}

// What needs a server that keeps responses or runs them in the background.
void refuse_state(Fields& in) {
  for (const std::string_view key : {"previous_response_id", "conversation", "prompt"}) {
    if (in.find(key) != nullptr) {
      v1::refuse(in, fmt::format("{} is not supported: this server keeps nothing between requests; send the whole "
                                 "conversation as input",
                                 key));
    }
  }
  if (in.boolean("background").value_or(false)) {
    v1::refuse(in, "background is not supported: this server keeps no responses");
  }
}

void read_input_messages(Fields& in, AnswerRequest& answer) {
  if (std::string instructions = in.text("instructions").value_or(""); !instructions.empty()) {
    ChatMessage& message = answer.messages.emplace_back();
    message.role = "system";
    message.content = std::move(instructions);
  }
  const size_t before = answer.messages.size();
  if (const Json* input = in.find("input")) {
    read_responses_input(in, *input, answer.messages);
  }
  if (in.status() && answer.messages.size() == before) {
    v1::refuse(in, "input is required");
  }
}

// Tools that OpenAI's own servers run are left out, as the echo of the tools shows.
void read_tools(Fields& in, ResponsesRequest& request) {
  request.echo["tools"] = Json::array();
  const Json* tools = in.array("tools");
  for (size_t i = 0; tools != nullptr && i < tools->size(); ++i) {
    const Json& json = (*tools)[i];
    Fields one(json, "ResponsesRequest.tools");
    const std::string type = one.text("type").value_or("");
    if (one.status() && type != "function") {
      v1::note_tool_left_out(type);
      continue;
    }
    ToolDefinition tool;
    tool.name = one.text("name").value_or("");
    tool.description = one.text("description").value_or("");
    tool.parameters = v1::parameters_text(one.object("parameters"));
    if (one.status() && tool.name.empty()) {
      v1::refuse(one, "each tool needs a name");
    }
    v1::join_status(in, one);
    request.answer.tools.push_back(std::move(tool));
    request.echo["tools"].push_back(json);
  }
  request.answer.parallel_tool_calls = in.boolean("parallel_tool_calls").value_or(true);
  request.echo["parallel_tool_calls"] = request.answer.parallel_tool_calls;
  request.echo["tool_choice"] = value_or(in, "tool_choice", "auto");
  const v1::ToolRule rule = read_tool_choice(in);
  if (!in.status()) {
    return;
  }
  if (const Status applied = v1::apply(rule, request.answer); !applied) {
    in.refuse(applied.error());
  }
}

void read_text(Fields& in, ResponsesRequest& request) {
  request.echo["text"] = {{"format", {{"type", "text"}}}};
  const Json* text = in.object("text");
  if (text == nullptr) {
    return;
  }
  Fields inner(*text, "ResponsesRequest.text");
  if (const Json* json = inner.object("format")) {
    Fields format(*json, "ResponsesRequest.text.format");
    request.answer.json_schema = read_format(format, json);
    request.echo["text"]["format"] = *json;
    v1::join_status(inner, format);
  }
  v1::note_without_effect(inner, {"verbosity"});
  v1::join_status(in, inner);
}

void read_reasoning(Fields& in, ResponsesRequest& request) {
  request.echo["reasoning"] = {{"effort", nullptr}, {"summary", nullptr}};
  const Json* reasoning = in.object("reasoning");
  if (reasoning == nullptr) {
    return;
  }
  Fields inner(*reasoning, "ResponsesRequest.reasoning");
  read_effort(inner, "effort", request.answer);
  request.echo["reasoning"] = {{"effort", value_or(inner, "effort", nullptr)},
                               {"summary", value_or(inner, "summary", nullptr)}};
  v1::join_status(in, inner);
}

void read_include(Fields& in, ResponsesRequest& request) {
  const std::vector<std::string> include = in.texts("include").value_or(std::vector<std::string>());
  const auto has = [&include](std::string_view name) {
    return std::find(include.begin(), include.end(), name) != include.end();
  };
  request.give_reasoning = has("reasoning.encrypted_content");
  request.answer.top_logprobs = read_top_logprobs(in, "top_logprobs");
  request.answer.logprobs = request.answer.top_logprobs > 0 || has("message.output_text.logprobs");
  request.echo["top_logprobs"] = request.answer.top_logprobs;
}

// A conversation that is too long is refused, unless it may be cut.
void read_truncation(Fields& in, ResponsesRequest& request) {
  const std::string truncation = in.text("truncation").value_or("disabled");
  if (truncation != "auto" && truncation != "disabled") {
    v1::refuse(in, fmt::format("truncation \"{}\" is unknown; use auto or disabled", truncation));
  }
  request.answer.truncate = request.answer.shift = truncation == "auto";
  request.echo["truncation"] = truncation;
}

// Sampling and limits.
void read_options_of(Fields& in, uint32_t server_context, ResponsesRequest& request) {
  constexpr double kMostTemperature = 2;
  ollama::Options options = v1::default_options();
  SamplingOptions& sampling = options.sampling;
  sampling.temperature = v1::read_number(in, "temperature", sampling.temperature, 0, kMostTemperature);
  sampling.top_p = v1::read_number(in, "top_p", sampling.top_p, 0, 1);
  options.num_predict = v1::read_token_limit(in, "max_output_tokens").value_or(-1);
  ollama::apply(options, server_context, request.answer);
  for (const std::string_view key : {"instructions", "max_output_tokens", "safety_identifier", "prompt_cache_key"}) {
    request.echo[std::string(key)] = value_or(in, key, nullptr);
  }
  request.echo["temperature"] = value_or(in, "temperature", 1.0);
  request.echo["top_p"] = value_or(in, "top_p", 1.0);
  const Json* metadata = in.object("metadata");
  request.echo["metadata"] = metadata == nullptr ? Json::object() : *metadata;
}

}  // namespace

Result<ResponsesRequest> read_responses_request(const Json& json, uint32_t server_context) {
  Fields in(json, "ResponsesRequest");
  ResponsesRequest request;
  request.echo = {{"previous_response_id", nullptr},
                  {"store", false},
                  {"background", false},
                  {"parallel_tool_calls", true},
                  {"max_tool_calls", nullptr},
                  {"service_tier", "default"},
                  {"presence_penalty", 0},
                  {"frequency_penalty", 0}};
  request.model = read_model(in);
  request.stream = in.boolean("stream").value_or(false);
  refuse_state(in);
  read_input_messages(in, request.answer);
  read_options_of(in, server_context, request);
  read_tools(in, request);
  read_text(in, request);
  read_reasoning(in, request);
  read_template_values(in, request.answer);
  read_include(in, request);
  read_truncation(in, request);
  v1::refuse_fields(in, {{"context_management", "this server compacts nothing; shorten the input yourself"},
                         {"moderation", "this server moderates nothing"}});
  v1::note_without_effect(in, {"max_tool_calls", "access_programs", "image"});
  if (!in.status()) {
    return propagate(in.status().error());
  }
  return request;
}

}  // namespace hypura::openai
