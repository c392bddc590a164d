// Messages, tools and tool calls of a conversation.
#pragma once

#include <string>
#include <vector>

namespace hypura {

// A call by the model: `arguments` is the text of a JSON object.
struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;
};

// A tool that the model may call: `parameters` is the text of a JSON schema.
struct ToolDefinition {
  std::string name;
  std::string description;
  std::string parameters;
};

enum class ToolChoice { kAuto, kNone, kRequired };

struct ChatMessage {
  std::string role;  // "system", "user", "assistant" or "tool"
  std::string content = {};
  std::string thinking = {};              // of an assistant's message
  std::vector<ToolCall> tool_calls = {};  // of an assistant's message
  std::string tool_name = {};             // of a tool's message
  std::string tool_call_id = {};          // of a tool's message
};

}  // namespace hypura
