// Ids of calls of tools, as clients and as chat templates want them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "hypura/generator.h"

namespace hypura {

// The id that a client is given for a call to which the model gave `id`: "call_" and `id` where that is nine letters or
// digits, so that it can be found again; a new one when the model gave none; else the model's own.
std::string id_for_client(std::string_view id);

// Makes the ids of calls and of results agree: a call without an id gets one, a result without one that of the first
// call before it which has no result yet, of the same tool if it names one. Results get the names of the tools that
// they are of. With `nine`, ids become nine letters or digits, which depend on nothing but the id, and are what the
// model gave if it gave such a one; different ids stay different.
void resolve_call_ids(std::vector<ChatMessage>& messages, bool nine);

}  // namespace hypura
