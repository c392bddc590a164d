// The content of a message: a string, or blocks.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "hypura/generator.h"
#include "server/json/fields.h"
#include "server/json/json.h"
#include "server/v1/answer_rules.h"

namespace hypura::anthropic {

struct Conversation {
  std::vector<ChatMessage> messages;
  v1::CalledTools called;
  std::set<std::string> referred;  // tools that results of a search for tools name
};

// The text of a string or of blocks of text, which are joined with a new line. Other blocks are refused.
std::string read_text(Fields& fields, const Json& content);

// Appends what a message of this role holds: its own text, thoughts and calls as one message, the results of tools as
// messages of theirs, in the order of the blocks. Wrong blocks are refused. What other servers' tools did becomes text,
// and so does all that the result of a tool holds: a note, where it is no text.
void read_blocks(Fields& fields, const std::string& role, const Json& content, Conversation& conversation);

}  // namespace hypura::anthropic
