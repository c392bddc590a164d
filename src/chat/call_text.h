// Calls of tools written as text, for chat templates that leave them out of a history.
#pragma once

#include <functional>
#include <string>

struct common_chat_params;
struct common_chat_tool_call;

namespace hypura {

using CallWriter = std::function<std::string(const common_chat_tool_call& call)>;

// "Call of f: {"a":1}": for models without calls.
std::string call_in_words(const common_chat_tool_call& call);

// The way in which the parser of `params` reads calls, so that a model sees them as it has to write them; found by
// trying some that are common. In words when it reads none of these. `params` were made with a tool.
CallWriter writer_for(const common_chat_params& params, const common_chat_tool_call& sample);

}  // namespace hypura
