#include "server/openai/responses_input.h"

#include <string>
#include <utility>

#include "server/openai/chat_messages.h"
#include "server/openai/request_fields.h"
#include "server/v1/answer_rules.h"
#include "server/v1/refusing.h"

namespace hypura::openai {

namespace {

class InputReader {
 public:
  InputReader(Fields& request, std::vector<ConversationMessage>& messages) : request_(request), messages_(messages) {}

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
    } else if (type == "function_call") {
      read_call(in);
    } else if (type == "function_call_output") {
      read_output(in);
    } else {
      v1::refuse(in, type.empty() ? "an item of the input has neither a type nor a role"
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
    ConversationMessage message;
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

  void read_call(Fields& in) {
    ToolCall call;
    call.id = in.text("call_id").value_or("");
    call.name = in.text("name").value_or("");
    call.arguments = read_arguments(in, "arguments");
    if (in.status() && (call.id.empty() || call.name.empty())) {
      v1::refuse(in, "a function_call in the input needs a call_id and a name");
    }
    called_.add({call});
    assistant().tool_calls.push_back(std::move(call));
  }

  void read_output(Fields& in) {
    ConversationMessage message;
    message.role = "tool";
    message.tool_call_id = in.text("call_id").value_or("");
    message.tool_name = called_.name(message.tool_call_id);
    if (const Json* output = in.find("output")) {
      message.content = read_content(in, *output);
    }
    messages_.push_back(std::move(message));
  }

  // The assistant's message that the last items belong to.
  ConversationMessage& assistant() {
    if (messages_.empty() || messages_.back().role != "assistant") {
      messages_.emplace_back().role = "assistant";
    }
    ConversationMessage& message = messages_.back();
    if (!thinking_.empty()) {
      message.thinking += (message.thinking.empty() ? "" : "\n") + std::exchange(thinking_, {});
    }
    return message;
  }

  Fields& request_;
  std::vector<ConversationMessage>& messages_;
  v1::CalledTools called_;
  std::string thinking_;  // of the assistant's message to come
};

}  // namespace

void read_responses_input(Fields& request, const Json& input, std::vector<ConversationMessage>& messages) {
  if (input.is_string()) {
    ConversationMessage& message = messages.emplace_back();
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
