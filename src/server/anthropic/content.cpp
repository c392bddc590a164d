#include "server/anthropic/content.h"

#include <fmt/format.h>

#include <optional>
#include <string_view>
#include <utility>

#include "server/server_text.h"
#include "server/v1/history_text.h"
#include "server/v1/refusing.h"

namespace hypura::anthropic {

namespace {

void append_text(std::string& text, const std::string& more) {
  if (!text.empty() && !more.empty()) {
    text += "\n";
  }
  text += more;
}

std::optional<std::string> text_of(Fields& block, std::string_view key) {
  const Json* content = block.find(key);
  return content == nullptr ? std::nullopt : std::optional(read_text(block, *content));
}

// Of a document: as text, or as blocks of text.
std::optional<std::string> document_text(Fields& block) {
  const Json* source = block.object("source");
  if (source == nullptr) {
    return std::nullopt;
  }
  Fields in(*source, "source");
  const std::string type = in.text("type").value_or("");
  std::optional<std::string> text = type == "text"      ? in.text("data")
                                    : type == "content" ? text_of(in, "content")
                                                        : std::nullopt;
  v1::join_status(block, in);
  if (text) {
    std::string whole = block.text("title").value_or("");
    append_text(whole, block.text("context").value_or(""));
    append_text(whole, *text);
    return whole;
  }
  return text;
}

// The text of a block; none when it has none.
std::optional<std::string> block_text(Fields& block, const std::string& type) {
  if (type == "text") {
    return block.text("text");
  }
  if (type == "document") {
    return document_text(block);
  }
  if (type == "search_result") {
    std::string text = block.text("title").value_or("");
    append_text(text, block.text("source").value_or(""));
    append_text(text, text_of(block, "content").value_or(""));
    return text;
  }
  return std::nullopt;
}

bool is_no_text(const std::string& type) {
  return type == "image" || type == "document";
}

void refuse_block(Fields& block, const std::string& type) {
  if (is_no_text(type)) {
    v1::refuse(block,
               fmt::format("invalid content block of type \"{}\": the models of this server read text only", type));
  } else if (type == "text") {
    v1::refuse(block, "invalid content block format: a block of type \"text\" has no text");
  } else {
    v1::refuse(block, fmt::format("invalid content block format: a block of type \"{}\" is not supported here", type));
  }
}

// A block of a tool's result, whatever it is: clients send it again with every turn.
std::string result_text(Fields& block, const Json& json, Conversation& conversation) {
  const std::string type = block.text("type").value_or("");
  if (type == "tool_reference") {
    const std::string name = block.text("tool_name").value_or("");
    conversation.referred.insert(name);
    return fmt::format("The tool \"{}\" is available.", name);
  }
  if (const std::optional<std::string> text = block_text(block, type)) {
    return *text;
  }
  if (is_no_text(type)) {
    return left_out_note(type);
  }
  const std::string text = v1::readable_text(json);
  return text.empty() ? left_out_note(type) : text;
}

// What a tool did that ran on another server: none when the block is of another kind, and empty when there is nothing
// in it to read.
std::optional<std::string> foreign_text(Fields& block, const Json& json, const std::string& type) {
  if (type == "server_tool_use" || type == "mcp_tool_use") {
    const Json* input = block.find("input");
    return fmt::format("[called {} with {}]", block.text("name").value_or(""),
                       input == nullptr ? "{}" : dump_json(*input));
  }
  if (type.ends_with("_tool_result")) {
    return fmt::format("[result: {}]", v1::readable_text(json));
  }
  if (type == "compaction") {
    return block.text("content").value_or("");
  }
  if (type == "container_upload") {
    return left_out_note("file");
  }
  const bool nothing =
      type == "fallback" || type == "tool_addition" || type == "tool_removal" || type == "mcp_tool_listing";
  return nothing ? std::optional<std::string>("") : std::nullopt;
}

class BlockReader {
 public:
  BlockReader(const std::string& role, Conversation& conversation) : role_(role), conversation_(conversation) {}

  void read(Fields& block, const Json& json) {
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
    } else if (const std::optional<std::string> foreign = foreign_text(block, json, type)) {
      append_text(message_.content, *foreign);
      used_ = used_ || !foreign->empty();
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
    ChatMessage result;
    result.role = "tool";
    result.tool_call_id = block.text("tool_use_id").value_or("");
    result.tool_name = conversation_.called.name(result.tool_call_id);
    if (const Json* content = block.find("content")) {
      result.content = content->is_array() ? read_results(block, *content) : read_text(block, *content);
    }
    conversation_.messages.push_back(std::move(result));
  }

  std::string read_results(Fields& block, const Json& content) {
    std::string text;
    for (const Json& json : content) {
      Fields part(json, "MessagesRequest.messages.content.content");
      append_text(text, result_text(part, json, conversation_));
      v1::join_status(block, part);
    }
    return text;
  }

  void read_use(Fields& block) {
    ToolCall call;
    call.id = block.text("id").value_or("");
    call.name = block.text("name").value_or("");
    const Json* input = block.find("input");
    call.arguments = input == nullptr ? "{}" : v1::call_arguments(dump_json(*input));
    if (block.status() && (call.id.empty() || call.name.empty())) {
      v1::refuse(block, "a tool_use block needs an id and a name");
    }
    conversation_.called.add({call});
    message_.tool_calls.push_back(std::move(call));
    used_ = true;
  }

  const std::string& role_;
  Conversation& conversation_;
  ChatMessage message_;
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
    ChatMessage& message = conversation.messages.emplace_back();
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
    reader.read(block, json);
    v1::join_status(fields, block);
  }
  reader.flush();
}

}  // namespace hypura::anthropic
