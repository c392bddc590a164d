// The conversation of a chat completion.
#pragma once

#include <vector>

#include "hypura/generator.h"
#include "server/json/fields.h"
#include "server/json/json.h"

namespace hypura::openai {

// Reads the messages; wrong ones are refused.
std::vector<ChatMessage> read_chat_messages(Fields& request, const Json& messages);

// Reads the tools that are functions; others are left out.
std::vector<ToolDefinition> read_chat_tools(Fields& request, const Json& tools);

// The role that a model knows: in lower case, "developer" as "system". An unknown one is refused.
std::string read_role(Fields& message);

}  // namespace hypura::openai
