// Message lists in the form that a model's chat template takes.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "chat/call_text.h"

struct common_chat_msg;

namespace hypura {

// Whether a template takes lists of a shape, as MessageShapes::takes tells it.
using TakesShape = std::function<bool(std::string_view shape)>;

// Brings `messages` into a form that the template takes. What it takes as it is stays as it is; no text and no call is
// lost. What comes before a message is changed for its sake only where both become one, so that a conversation that
// grows keeps its beginning.
//  - Neighbours of one role are joined, with an empty line between.
//  - A system's text behind the beginning stays at its place, as the user's; at the beginning it goes to the first of
//    the user's messages where the template has no system.
//  - An empty message is put where two roles may not follow each other, or where the template wants a user first.
//  - Calls and their results become text where the template has none; several calls at once follow one another.
// `continued`: the last message, of the assistant, is to be gone on with, and the template does not see it.
// `write_call` writes calls that become text.
void arrange_messages(std::vector<common_chat_msg>& messages, bool continued, const TakesShape& takes,
                      const CallWriter& write_call = call_in_words);

// The shapes that the strictest templates take: user and assistant in turns, the user first, and nothing else.
bool strictest_takes(std::string_view shape);

}  // namespace hypura
