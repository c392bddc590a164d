// The conversation of a request for a response: items in a list.
#pragma once

#include <vector>

#include "hypura/generator.h"
#include "server/json/fields.h"
#include "server/json/json.h"

namespace hypura::openai {

// Appends what the input holds, a string or items, to `messages`. A call, and the reasoning before it, become part of
// the assistant's message that they belong to. Wrong items are refused.
void read_responses_input(Fields& request, const Json& input, std::vector<ChatMessage>& messages);

}  // namespace hypura::openai
