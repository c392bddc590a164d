#include "server/openai/responses_input.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "server/openai/chat_messages.h"
#include "server/openai/request_fields.h"
#include "server/v1/answer_rules.h"
#include "server/v1/history_text.h"
#include "server/v1/other_fields.h"
#include "server/v1/refusing.h"

namespace hypura::openai {

namespace {

class InputReader {
 public:
  InputReader(Fields& request, std::vector<ChatMessage>& messages) : request_(request), messages_(messages) {}

  void read(const Json& item) {
    Fields in(item, "ResponsesRequest.input");
    std::string type = in.text("type").value_or("");
    if (type.empty() && in.find("role") != nullptr) {
      type = "message";
    }
    if (type == "message") {
      read_message(in);
    } else if (type == "reasoning") {
      read_reasoning(in);
    } else if (type.ends_with("_call_output")) {
      read_output(in);
    } else if (is_call(in, type)) {
      read_call(in, type);
    } else if (type == "mcp_call") {
      read_finished_call(in);
    } else if (is_passed_over(in, type)) {
      v1::note_item_left_out(type.empty() ? "item_reference" : type);
    } else {
      v1::refuse(in, type.empty() ? "an input item has neither a type nor a role"
                                  : fmt::format("unknown input item type: \"{}\"", type));
    }
    v1::join_status(request_, in);
  }

  // Reasoning that nothing came after is a message of its own.
  void finish() {
    if (!thinking_.empty()) {
      assistant();
    }
  }

 private:
  void read_message(Fields& in) {
    ChatMessage message;
    message.role = read_role(in);
    if (const Json* content = in.find("content")) {
      message.content = read_content(in, *content);
    }
    if (message.role == "assistant") {
      message.thinking = std::exchange(thinking_, {});
    }
    messages_.push_back(std::move(message));
  }

  void read_reasoning(Fields& in) {
    for (const char* key : {"summary", "content"}) {
      const Json* parts = in.array(key);
      for (size_t i = 0; parts != nullptr && i < parts->size(); ++i) {
        Fields part((*parts)[i], "ResponsesRequest.input.reasoning");
        thinking_ += (thinking_.empty() ? "" : "\n") + part.text("text").value_or("");
        v1::join_status(in, part);
      }
      if (!thinking_.empty()) {
        return;
      }
    }
    // This server encrypts nothing: what it gave out is the text.
    thinking_ = in.text("encrypted_content").value_or("");
  }

  // Calls whose output is an item of its own: of functions, and of tools that clients run under other names.
  static bool is_call(const Fields& in, std::string_view type) {
    return type == "function_call" || (type.ends_with("_call") && in.find("call_id") != nullptr);
  }

  // What tools did that ran on another server, and what was for that server only.
  static bool is_passed_over(const Fields& in, std::string_view type) {
    constexpr std::array<std::string_view, 12> kOthers{
        "item_reference",   "compaction",         "compaction_trigger",   "mcp_list_tools",
        "program",          "program_output",     "mcp_approval_request", "mcp_approval_response",
        "additional_tools", "tool_search_output", "configuration_update", "compaction_summary"};
    const bool reference = type.empty() && in.find("id") != nullptr;
    return reference || type.ends_with("_call") || std::find(kOthers.begin(), kOthers.end(), type) != kOthers.end();
  }

  void read_call(Fields& in, const std::string& type) {
    ToolCall call;
    call.id = in.text("call_id").value_or("");
    if (type == "function_call") {
      call.name = in.text("name").value_or("");
      call.arguments = read_arguments(in, "arguments");
    } else {
      call.name = in.text("name").value_or(type.substr(0, type.rfind("_call")));
      call.arguments = other_arguments(in);
    }
    if (in.status() && (call.id.empty() || call.name.empty())) {
      v1::refuse(in, "a function_call in the input needs a call_id and a name");
    }
    called_.add({call});
    assistant().tool_calls.push_back(std::move(call));
  }

  // Of a call that is no function's: its action, its patch, its free text.
  static std::string other_arguments(Fields& in) {
    for (const char* key : {"arguments", "input", "action", "operation"}) {
      if (const Json* value = in.find(key)) {
        return v1::call_arguments(value->is_string() ? value->get<std::string>() : dump_json(*value), key);
      }
    }
    return "{}";
  }

  void read_output(Fields& in) {
    ChatMessage message;
    message.role = "tool";
    message.tool_call_id = in.text("call_id").value_or(in.text("id").value_or(""));
    message.tool_name = called_.name(message.tool_call_id);
    if (const Json* output = in.find("output")) {
      message.content = is_content(*output) ? read_content(in, *output, true) : v1::readable_text(*output);
    }
    messages_.push_back(std::move(message));
  }

  // A text, or parts of which each says what it is.
  static bool is_content(const Json& output) {
    return output.is_string() || (output.is_array() && std::all_of(output.begin(), output.end(), [](const Json& part) {
                                    return part.is_object() && part.contains("type");
                                  }));
  }

  // A call with its outcome in one.
  void read_finished_call(Fields& in) {
    ToolCall call;
    call.id = in.text("id").value_or("");
    call.name = in.text("name").value_or("mcp");
    call.arguments = read_arguments(in, "arguments");
    ChatMessage result;
    result.role = "tool";
    result.tool_call_id = call.id;
    result.tool_name = call.name;
    for (const char* key : {"output", "error"}) {
      if (const Json* value = in.find(key)) {
        result.content += v1::readable_text(*value);
      }
    }
    assistant().tool_calls.push_back(std::move(call));
    messages_.push_back(std::move(result));
  }

  // The assistant's message that the last items belong to.
  ChatMessage& assistant() {
    if (messages_.empty() || messages_.back().role != "assistant") {
      messages_.emplace_back().role = "assistant";
    }
    ChatMessage& message = messages_.back();
    if (!thinking_.empty()) {
      message.thinking += (message.thinking.empty() ? "" : "\n") + std::exchange(thinking_, {});
    }
    return message;
  }

  Fields& request_;
  std::vector<ChatMessage>& messages_;
  v1::CalledTools called_;
  std::string thinking_;  // of the assistant's message to come
};

}  // namespace

void read_responses_input(Fields& request, const Json& input, std::vector<ChatMessage>& messages) {
  if (input.is_string()) {
    ChatMessage& message = messages.emplace_back();
    message.role = "user";
    message.content = input.get<std::string>();
    return;
  }
  if (!input.is_array()) {
    v1::refuse(request, "input must be a string or array");
    return;
  }
  InputReader reader(request, messages);
  for (const Json& item : input) {
    reader.read(item);
  }
  reader.finish();
}

}  // namespace hypura::openai
