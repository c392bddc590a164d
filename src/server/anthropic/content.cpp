#include "server/anthropic/content.h"

#include <optional>
#include <utility>

#include "server/v1/refusing.h"

namespace hypura::anthropic {

namespace {

void append_text(std::string& text, const std::string& more) {
  if (!text.empty() && !more.empty()) {
    text += "\n";
  }
  text += more;
}

// The text of a block; none when it has none.
std::optional<std::string> block_text(Fields& block, const std::string& type) {
  if (type == "text") {
    return block.text("text");
  }
  if (type != "document") {
    return std::nullopt;
  }
  const Json* source = block.object("source");
  if (source == nullptr) {
    return std::nullopt;
  }
  Fields in(*source, "source");
  std::optional<std::string> text = in.text("type") == "text" ? in.text("data") : std::nullopt;
  v1::join_status(block, in);
  return text;
}

void refuse_block(Fields& block, const std::string& type) {
  if (type == "image" || type == "document") {
    v1::refuse(block,
               fmt::format("invalid content block of type \"{}\": the models of this server read text only", type));
  } else if (type == "text") {
    v1::refuse(block, "invalid content block format: a block of type \"text\" has no text");
  } else {
    v1::refuse(block, fmt::format("invalid content block format: a block of type \"{}\" is not supported here", type));
  }
}

class BlockReader {
 public:
  BlockReader(const std::string& role, Conversation& conversation) : role_(role), conversation_(conversation) {}

  void read(Fields& block) {
    const std::string type = block.text("type").value_or("");
    if (type == "tool_result") {
      read_result(block);
    } else if (type == "tool_use") {
      read_use(block);
    } else if (type == "thinking") {
      append_text(message_.thinking, block.text("thinking").value_or(""));
      used_ = true;
    } else if (type == "redacted_thinking") {
      used_ = true;  // nobody here can read it
    } else if (const std::optional<std::string> text = block_text(block, type)) {
      append_text(message_.content, *text);
      used_ = true;
    } else {
      refuse_block(block, type);
    }
  }

  // Appends the message that was read since the last tool's result.
  void flush() {
    if (used_) {
      message_.role = role_;
      conversation_.messages.push_back(std::exchange(message_, {}));
      used_ = false;
    }
  }

 private:
  void read_result(Fields& block) {
    flush();
    ConversationMessage result;
    result.role = "tool";
    result.tool_call_id = block.text("tool_use_id").value_or("");
    result.tool_name = conversation_.called.name(result.tool_call_id);
    if (const Json* content = block.find("content")) {
      result.content = read_text(block, *content);
    }
    conversation_.messages.push_back(std::move(result));
  }

  void read_use(Fields& block) {
    ToolCall call;
    call.id = block.text("id").value_or("");
    call.name = block.text("name").value_or("");
    const Json* input = block.object("input");
    call.arguments = input == nullptr ? "{}" : dump_json(*input);
    if (block.status() && (call.id.empty() || call.name.empty())) {
      v1::refuse(block, "a tool_use block needs an id and a name");
    }
    conversation_.called.add({call});
    message_.tool_calls.push_back(std::move(call));
    used_ = true;
  }

  const std::string& role_;
  Conversation& conversation_;
  ConversationMessage message_;
  bool used_ = false;
};

}  // namespace

std::string read_text(Fields& fields, const Json& content) {
  if (content.is_string()) {
    return content.get<std::string>();
  }
  if (!content.is_array()) {
    v1::refuse(fields, fmt::format("invalid message content type: {}", json_kind(content)));
    return {};
  }
  std::string text;
  for (const Json& json : content) {
    Fields block(json, "content");
    const std::string type = block.text("type").value_or("");
    if (const std::optional<std::string> more = block_text(block, type)) {
      append_text(text, *more);
    } else {
      refuse_block(block, type);
    }
    v1::join_status(fields, block);
  }
  return text;
}

void read_blocks(Fields& fields, const std::string& role, const Json& content, Conversation& conversation) {
  if (content.is_string()) {
    ConversationMessage& message = conversation.messages.emplace_back();
    message.role = role;
    message.content = content.get<std::string>();
    return;
  }
  if (!content.is_array()) {
    v1::refuse(fields, fmt::format("invalid message content type: {}", json_kind(content)));
    return;
  }
  BlockReader reader(role, conversation);
  for (const Json& json : content) {
    Fields block(json, "MessagesRequest.messages.content");
    reader.read(block);
    v1::join_status(fields, block);
  }
  reader.flush();
}

}  // namespace hypura::anthropic
