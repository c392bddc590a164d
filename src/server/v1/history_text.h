// What stands in a prompt for parts of a conversation that were made for other models: agents send them again with each
// turn, so that none of them may make a request fail.
#pragma once

#include <string>

#include "server/json/json.h"

namespace hypura::v1 {

// The text within a value: its strings on lines of their own, without ids, marks, and what is encrypted or no text.
std::string readable_text(const Json& value);

// The arguments of a call as the text of a JSON object; what is none becomes the field `name` of one.
std::string call_arguments(const std::string& text, const char* name = "arguments");

}  // namespace hypura::v1
