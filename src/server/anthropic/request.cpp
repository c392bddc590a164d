#include "server/anthropic/request.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "server/anthropic/billing_header.h"
#include "server/anthropic/content.h"
#include "server/json/fields.h"
#include "server/ollama/options.h"
#include "server/server_text.h"
#include "server/v1/answer_rules.h"
#include "server/v1/other_fields.h"
#include "server/v1/refusing.h"
#include "support/fail.h"

namespace hypura::anthropic {

namespace {

void read_system(Fields& in, Conversation& conversation) {
  const Json* system = in.find("system");
  if (system == nullptr) {
    return;
  }
  std::string text = without_billing_header(read_text(in, *system));
  if (!text.empty()) {
    ChatMessage& message = conversation.messages.emplace_back();
    message.role = "system";
    message.content = std::move(text);
  }
}

void read_message(Fields& in, const Json& json, Conversation& conversation) {
  Fields message(json, "MessagesRequest.messages");
  const std::string role = ascii_lower(message.text("role").value_or(""));
  if (message.status() && role != "user" && role != "assistant" && role != "system") {
    v1::refuse(message, fmt::format("invalid role: \"{}\", role must be one of [user, assistant, system]", role));
  }
  const Json* content = message.find("content");
  if (content == nullptr) {
    v1::refuse(message, "invalid message content type: null");
  } else {
    const size_t before = conversation.messages.size();
    read_blocks(message, role, *content, conversation);
    for (size_t i = before; role == "system" && i < conversation.messages.size(); ++i) {
      conversation.messages[i].content = without_billing_header(conversation.messages[i].content);
    }
  }
  v1::join_status(in, message);
}

void read_messages(Fields& in, Conversation& conversation) {
  const Json* messages = in.array("messages");
  if (in.status() && (messages == nullptr || messages->empty())) {
    v1::refuse(in, "messages is required");
  }
  for (size_t i = 0; messages != nullptr && i < messages->size(); ++i) {
    read_message(in, (*messages)[i], conversation);
  }
}

// Tools that Anthropic's own servers run, or that its models know by heart, are not offered to the model. Nor is one
// that is to be searched for first, until a result of the search names it.
void read_tool(Fields& in, const Json& json, const Conversation& conversation, AnswerRequest& answer) {
  Fields one(json, "MessagesRequest.tools");
  const std::string type = one.text("type").value_or("custom");
  if (type != "custom") {
    v1::note_tool_left_out(type);
    v1::join_status(in, one);
    return;
  }
  ToolDefinition tool;
  tool.name = one.text("name").value_or("");
  tool.description = one.text("description").value_or("");
  tool.parameters = v1::parameters_text(one.object("input_schema"));
  if (one.status() && tool.name.empty()) {
    v1::refuse(one, "each tool needs a name");
  }
  const bool waits = one.boolean("defer_loading").value_or(false) && !conversation.referred.contains(tool.name);
  v1::join_status(in, one);
  if (!waits) {
    answer.tools.push_back(std::move(tool));
  }
}

v1::ToolRule read_tool_choice(Fields& in, AnswerRequest& answer) {
  v1::ToolRule rule;
  const Json* choice = in.object("tool_choice");
  if (choice == nullptr) {
    return rule;
  }
  Fields inner(*choice, "MessagesRequest.tool_choice");
  const std::string type = inner.text("type").value_or("");
  if (type == "none") {
    rule.choice = ToolChoice::kNone;
  } else if (type == "any") {
    rule.choice = ToolChoice::kRequired;
  } else if (type == "tool") {
    rule.choice = ToolChoice::kRequired;
    rule.only = std::vector{inner.text("name").value_or("")};
  } else if (type != "auto") {
    v1::refuse(inner, fmt::format("tool_choice of the type \"{}\" is unknown; use auto, any, tool or none", type));
  }
  answer.parallel_tool_calls = !inner.boolean("disable_parallel_tool_use").value_or(false);
  v1::join_status(in, inner);
  return rule;
}

void read_tools(Fields& in, const Conversation& conversation, AnswerRequest& answer) {
  const Json* tools = in.array("tools");
  for (size_t i = 0; tools != nullptr && i < tools->size(); ++i) {
    read_tool(in, (*tools)[i], conversation, answer);
  }
  const v1::ToolRule rule = read_tool_choice(in, answer);
  if (!in.status()) {
    return;
  }
  if (const Status applied = v1::apply(rule, answer); !applied) {
    in.refuse(applied.error());
  }
}

// A model thinks when it is asked to. "adaptive" leaves it to the model.
void read_thinking(Fields& in, AnswerRequest& answer) {
  const Json* thinking = in.object("thinking");
  if (thinking == nullptr) {
    answer.think = false;
    return;
  }
  Fields inner(*thinking, "MessagesRequest.thinking");
  const std::string type = inner.text("type").value_or("");
  if (inner.status() && type != "enabled" && type != "disabled" && type != "adaptive") {
    v1::refuse(inner, fmt::format("thinking of the type \"{}\" is unknown; use enabled, disabled or adaptive", type));
  }
  answer.think = type == "adaptive" ? std::nullopt : std::optional(type == "enabled");
  if (const std::optional<int64_t> budget = inner.integer("budget_tokens"); budget && type == "enabled") {
    if (*budget <= 0) {
      v1::refuse(inner, "thinking.budget_tokens must be greater than 0");
    }
    answer.thinking_budget = static_cast<int32_t>(std::clamp<int64_t>(*budget, 1, std::numeric_limits<int32_t>::max()));
  }
  v1::join_status(in, inner);
}

void read_effort(Fields& in, AnswerRequest& answer) {
  constexpr std::array<std::string_view, 5> kLevels{"low", "medium", "high", "xhigh", "max"};
  const Json* config = in.object("output_config");
  if (config == nullptr) {
    return;
  }
  Fields inner(*config, "MessagesRequest.output_config");
  answer.effort = inner.text("effort").value_or("");
  if (!answer.effort.empty() && std::find(kLevels.begin(), kLevels.end(), answer.effort) == kLevels.end()) {
    v1::refuse(inner, fmt::format("output_config.effort \"{}\" is unknown; use low, medium, high, xhigh or max",
                                  answer.effort));
  }
  v1::join_status(in, inner);
}

// output_config.format, which was the field output_format before.
std::optional<std::string> read_format(Fields& in) {
  const Json* format = in.object("output_format");
  if (const Json* config = in.object("output_config")) {
    Fields inner(*config, "MessagesRequest.output_config");
    const Json* newer = inner.object("format");
    format = newer == nullptr ? format : newer;
    v1::join_status(in, inner);
  }
  if (format == nullptr) {
    return std::nullopt;
  }
  Fields inner(*format, "MessagesRequest.output_config.format");
  const std::string type = inner.text("type").value_or("");
  if (inner.status() && type != "json_schema") {
    v1::refuse(inner, fmt::format("the answer's format has the unknown type \"{}\"; use json_schema", type));
  }
  std::string schema = v1::schema_text(inner.object("schema"));
  v1::join_status(in, inner);
  return schema;
}

ollama::Options read_options(Fields& in, RequestUse use) {
  ollama::Options options = v1::default_options();
  SamplingOptions& sampling = options.sampling;
  sampling.temperature = v1::read_number(in, "temperature", sampling.temperature, 0, 1);
  sampling.top_p = v1::read_number(in, "top_p", sampling.top_p, 0, 1);
  const int64_t top_k = in.integer("top_k").value_or(sampling.top_k);
  sampling.top_k = static_cast<int32_t>(std::clamp<int64_t>(top_k, 0, std::numeric_limits<int32_t>::max()));
  options.stop = in.texts("stop_sequences").value_or(std::vector<std::string>());
  options.stop.erase(std::remove(options.stop.begin(), options.stop.end(), ""), options.stop.end());
  options.num_predict = in.integer("max_tokens").value_or(0);
  if (in.status() && use == RequestUse::kAnswer && options.num_predict <= 0) {
    v1::refuse(in, "max_tokens is required and must be positive");
  }
  return options;
}

// What needs a server that keeps things or runs tools.
void refuse_state(Fields& in) {
  v1::refuse_fields(in, {{"container", "this server runs no code"},
                         {"mcp_servers", "this server calls none; offer their tools to the model yourself"},
                         {"thread", "this server keeps nothing between requests; send the whole conversation"},
                         {"compaction", "this server compacts nothing; shorten the conversation yourself"}});
}

}  // namespace

Result<MessagesRequest> read_messages_request(const Json& json, RequestUse use, uint32_t server_context) {
  Fields in(json, "MessagesRequest");
  MessagesRequest request;
  request.model = in.text("model").value_or("");
  if (in.status() && request.model.empty()) {
    v1::refuse(in, "model is required");
  }
  request.stream = in.boolean("stream").value_or(false);
  ollama::apply(read_options(in, use), server_context, request.answer);
  Conversation conversation;
  read_system(in, conversation);
  read_messages(in, conversation);
  if (in.status() && conversation.messages.empty()) {
    v1::refuse(in, "messages have no content that the model can read");
  }
  request.answer.messages = std::move(conversation.messages);
  // Clients of this API are told what does not fit, and shorten it themselves.
  request.answer.truncate = false;
  request.answer.shift = false;
  read_tools(in, conversation, request.answer);
  read_thinking(in, request.answer);
  read_effort(in, request.answer);
  request.answer.json_schema = read_format(in);
  refuse_state(in);
  v1::note_without_effect(in, {"context_management", "fallbacks"});
  if (!in.status()) {
    return propagate(in.status().error());
  }
  return request;
}

}  // namespace hypura::anthropic
