#include "server/openai/chat_messages.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "server/openai/request_fields.h"
#include "server/server_text.h"
#include "server/v1/answer_rules.h"
#include "server/v1/other_fields.h"
#include "server/v1/refusing.h"

namespace hypura::openai {

namespace {

ToolCall read_call(Fields& message, const Json& json) {
  Fields in(json, "ChatCompletionRequest.messages.tool_calls");
  ToolCall call;
  call.id = in.text("id").value_or("");
  if (const Json* function = in.object("function")) {
    Fields inner(*function, "ChatCompletionRequest.messages.tool_calls.function");
    call.name = inner.text("name").value_or("");
    call.arguments = read_arguments(inner, "arguments");
    v1::join_status(in, inner);
  }
  if (const Json* custom = in.object("custom")) {
    Fields inner(*custom, "ChatCompletionRequest.messages.tool_calls.custom");
    call.name = inner.text("name").value_or("");
    call.arguments = dump_json({{"input", inner.text("input").value_or("")}});
    v1::join_status(in, inner);
  }
  if (in.status() && call.name.empty()) {
    v1::refuse(in, "a tool call in the messages needs a function with a name");
  }
  v1::join_status(message, in);
  return call;
}

// The call of a conversation from the time when a message had one, and no id.
ToolCall read_old_call(Fields& message, const Json& json) {
  Fields in(json, "ChatCompletionRequest.messages.function_call");
  ToolCall call;
  call.name = in.text("name").value_or("");
  call.arguments = read_arguments(in, "arguments");
  if (in.status() && call.name.empty()) {
    v1::refuse(in, "a function_call in the messages needs a name");
  }
  v1::join_status(message, in);
  return call;
}

ChatMessage read_message(Fields& request, const Json& json, v1::CalledTools& called) {
  Fields in(json, "ChatCompletionRequest.messages");
  ChatMessage message;
  message.role = read_role(in);
  message.thinking = in.text("reasoning").value_or("");
  if (message.thinking.empty()) {
    message.thinking = in.text("reasoning_content").value_or("");
  }
  if (message.role == "function") {  // what tools were called before
    message.role = "tool";
  }
  if (const Json* call = in.object("function_call")) {
    message.tool_calls.push_back(read_old_call(in, *call));
  }
  const Json* calls = in.array("tool_calls");
  if (calls != nullptr) {
    for (const Json& call : *calls) {
      message.tool_calls.push_back(read_call(in, call));
    }
  }
  if (const Json* content = in.find("content")) {
    message.content = read_content(in, *content, message.role == "tool");
  } else if (message.role == "assistant") {
    message.content = in.text("refusal").value_or("");
  } else {
    v1::refuse(in, "invalid message content type: null");
  }
  if (message.role == "tool") {
    message.tool_call_id = in.text("tool_call_id").value_or("");
    message.tool_name = in.text("name").value_or("");
    if (message.tool_name.empty()) {
      message.tool_name = called.name(message.tool_call_id);
    }
  }
  called.add(message.tool_calls);
  v1::join_status(request, in);
  return message;
}

}  // namespace

std::string read_role(Fields& message) {
  std::string role = ascii_lower(message.text("role").value_or(""));
  if (role == "developer") {
    return "system";
  }
  if (message.status() && role != "system" && role != "user" && role != "assistant" && role != "tool" &&
      role != "function") {
    v1::refuse(
        message,
        fmt::format("invalid role: \"{}\", role must be one of [system, developer, user, assistant, tool]", role));
  }
  return role;
}

std::vector<ChatMessage> read_chat_messages(Fields& request, const Json& messages) {
  std::vector<ChatMessage> read;
  v1::CalledTools called;
  for (const Json& message : messages) {
    read.push_back(read_message(request, message, called));
  }
  return read;
}

std::vector<ToolDefinition> read_chat_tools(Fields& request, const Json& tools) {
  std::vector<ToolDefinition> read;
  for (const Json& json : tools) {
    Fields in(json, "ChatCompletionRequest.tools");
    const std::string type = in.text("type").value_or("function");
    if (in.status() && type != "function") {
      v1::note_tool_left_out(type);
      continue;
    }
    ToolDefinition tool;
    if (const Json* function = in.object("function")) {
      Fields inner(*function, "ChatCompletionRequest.tools.function");
      tool.name = inner.text("name").value_or("");
      tool.description = inner.text("description").value_or("");
      tool.parameters = v1::parameters_text(inner.object("parameters"));
      v1::join_status(in, inner);
    }
    if (in.status() && tool.name.empty()) {
      v1::refuse(in, "each tool needs a function with a name");
    }
    v1::join_status(request, in);
    read.push_back(std::move(tool));
  }
  return read;
}

}  // namespace hypura::openai
