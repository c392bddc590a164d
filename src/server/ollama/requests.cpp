#include "server/ollama/requests.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "server/json/format_field.h"
#include "server/json/time.h"
#include "server/server_text.h"
#include "support/fail.h"
#include "support/log.h"

namespace hypura::ollama {

namespace {

constexpr int64_t kMostTopLogprobs = 20;

// Moves a value into its place, or its error into the fields' status.
template <class T>
void take(Fields& fields, Result<T> value, T& place) {
  if (value) {
    place = std::move(*value);
  } else {
    fields.refuse(value.error());
  }
}

void read_think(Fields& in, AnswerFields& fields) {
  const Json* value = in.find("think");
  if (value == nullptr) {
    return;
  }
  if (value->is_boolean()) {
    fields.think = value->get<bool>();
  } else if (*value == "low" || *value == "medium" || *value == "high" || *value == "max") {
    fields.think = true;
    fields.effort = value->get<std::string>();
  } else {
    in.refuse({ErrorCode::kUsage, fmt::format("invalid think value: {} (must be \"high\", \"medium\", \"low\", "
                                              "\"max\", true, or false)",
                                              dump_json(*value))});
  }
}

void read_options_field(Fields& in, Options& options) {
  take(in, read_options(in.object("options")), options);
}

AnswerFields read_answer_fields(Fields& in) {
  AnswerFields fields;
  fields.model = in.text("model").value_or("");
  fields.stream = in.boolean("stream").value_or(true);
  read_options_field(in, fields.options);
  if (const Json* given = in.object("options")) {
    fields.given_options = *given;
  }
  take(in, read_keep_alive(in.find("keep_alive")), fields.keep);
  take(in, read_format(in.find("format")), fields.json_schema);
  read_think(in, fields);
  fields.truncate = in.boolean("truncate").value_or(true);
  fields.shift = in.boolean("shift").value_or(true);
  fields.logprobs = in.boolean("logprobs").value_or(false);
  fields.render_only = in.boolean("_debug_render_only").value_or(false);
  const int64_t top = in.integer("top_logprobs").value_or(0);
  if (top < 0 || top > kMostTopLogprobs) {
    in.refuse({ErrorCode::kUsage, fmt::format("top_logprobs must be between 0 and {}", kMostTopLogprobs)});
  }
  fields.top_logprobs = static_cast<int32_t>(std::clamp<int64_t>(top, 0, kMostTopLogprobs));
  if (in.status() && fields.model.empty()) {
    in.refuse({ErrorCode::kUsage, "model is required"});
  }
  return fields;
}

bool has_images(Fields& in) {
  const auto images = in.texts("images");
  return images && !images->empty();
}

ToolCall read_tool_call(Fields& message, const Json& json) {
  Fields in(json, "ChatRequest.messages.tool_calls");
  ToolCall call;
  call.id = in.text("id").value_or("");
  if (const Json* function = in.object("function")) {
    Fields inner(*function, "ChatRequest.messages.tool_calls.function");
    call.name = inner.text("name").value_or("");
    const Json* arguments = inner.object("arguments");
    call.arguments = arguments == nullptr ? "{}" : dump_json(*arguments);
    if (!inner.status()) {
      in.refuse(inner.status().error());
    }
  }
  if (!in.status()) {
    message.refuse(in.status().error());
  }
  return call;
}

std::string read_role(Fields& in) {
  std::string role = in.text("role").value_or("");
  std::transform(role.begin(), role.end(), role.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (in.status() && role != "system" && role != "user" && role != "assistant" && role != "tool") {
    in.refuse({ErrorCode::kUsage,
               fmt::format("invalid role: \"{}\", role must be one of [system, user, assistant, tool]", role)});
  }
  return role;
}

void read_message(Fields& request, const Json& json, ChatRequest& chat) {
  Fields in(json, "ChatRequest.messages");
  ChatMessage message;
  message.role = read_role(in);
  message.content = in.text("content").value_or("");
  message.thinking = in.text("thinking").value_or("");
  message.tool_name = in.text("tool_name").value_or("");
  message.tool_call_id = in.text("tool_call_id").value_or("");
  if (const Json* calls = in.array("tool_calls")) {
    for (const Json& call : *calls) {
      message.tool_calls.push_back(read_tool_call(in, call));
    }
  }
  if (has_images(in)) {
    if (message.role == "tool") {
      message.content += message.content.empty() ? "" : "\n";
      message.content += left_out_note("image");
    } else {
      chat.fields.images = true;
    }
  }
  if (!in.status()) {
    request.refuse(in.status().error());
  }
  chat.messages.push_back(std::move(message));
}

void read_tool(Fields& request, const Json& json, ChatRequest& chat) {
  Fields in(json, "ChatRequest.tools");
  ToolDefinition tool;
  if (const Json* function = in.object("function")) {
    Fields inner(*function, "ChatRequest.tools.function");
    tool.name = inner.text("name").value_or("");
    tool.description = inner.text("description").value_or("");
    const Json* parameters = inner.object("parameters");
    tool.parameters = parameters == nullptr ? R"({"type":"object","properties":{}})" : dump_json(*parameters);
    if (!inner.status()) {
      in.refuse(inner.status().error());
    }
  }
  if (in.status() && tool.name.empty()) {
    in.refuse({ErrorCode::kUsage, "ChatRequest.tools: each tool needs a function with a name"});
  }
  if (!in.status()) {
    request.refuse(in.status().error());
  }
  chat.tools.push_back(std::move(tool));
}

template <class T>
Result<T> if_good(const Fields& in, T request) {
  if (!in.status()) {
    return propagate(in.status().error());
  }
  return request;
}

std::vector<std::string> read_input(Fields& in) {
  const Json* input = in.find("input");
  if (input == nullptr || is_empty_text(*input)) {
    return {};
  }
  if (input->is_string()) {
    return {input->get<std::string>()};
  }
  std::vector<std::string> texts;
  bool valid = input->is_array();
  for (size_t i = 0; valid && i < input->size(); ++i) {
    const Json& text = (*input)[i];
    valid = text.is_string();
    if (valid) {
      texts.push_back(text.get<std::string>());
    }
  }
  if (!valid) {
    in.refuse({ErrorCode::kUsage, "invalid input type"});
  }
  return texts;
}

EmbedFields read_embed_fields(Fields& in) {
  EmbedFields fields;
  Options unused;
  fields.model = in.text("model").value_or("");
  take(in, read_keep_alive(in.find("keep_alive")), fields.keep);
  read_options_field(in, unused);  // none of them changes an embedding, but wrong ones are told
  if (in.status() && fields.model.empty()) {
    in.refuse({ErrorCode::kUsage, "model is required"});
  }
  return fields;
}

}  // namespace

Result<GenerateRequest> read_generate(const Json& json) {
  Fields in(json, "GenerateRequest");
  GenerateRequest request;
  request.fields = read_answer_fields(in);
  request.fields.images = has_images(in);
  request.prompt = in.text("prompt").value_or("");
  request.suffix = in.text("suffix").value_or("");
  request.system = in.text("system").value_or("");
  request.prompt_template = in.text("template").value_or("");
  request.raw = in.boolean("raw").value_or(false);
  request.context = in.tokens("context").value_or(std::vector<int32_t>());
  return if_good(in, std::move(request));
}

Result<ChatRequest> read_chat(const Json& json) {
  Fields in(json, "ChatRequest");
  ChatRequest request;
  request.fields = read_answer_fields(in);
  if (const Json* messages = in.array("messages")) {
    for (const Json& message : *messages) {
      read_message(in, message, request);
    }
  }
  if (const Json* tools = in.array("tools")) {
    for (const Json& tool : *tools) {
      read_tool(in, tool, request);
    }
  }
  return if_good(in, std::move(request));
}

Result<EmbedFields> read_embed(const Json& json) {
  Fields in(json, "EmbedRequest");
  EmbedFields request = read_embed_fields(in);
  request.texts = read_input(in);
  request.truncate = in.boolean("truncate").value_or(true);
  request.dimensions = static_cast<size_t>(std::max<int64_t>(in.integer("dimensions").value_or(0), 0));
  return if_good(in, std::move(request));
}

Result<EmbedFields> read_embeddings(const Json& json) {
  Fields in(json, "EmbeddingRequest");
  EmbedFields request = read_embed_fields(in);
  if (std::string prompt = in.text("prompt").value_or(""); !prompt.empty()) {
    request.texts.push_back(std::move(prompt));
  }
  return if_good(in, std::move(request));
}

std::string model_field(Fields& fields) {
  std::string model = fields.text("model").value_or("");
  return model.empty() ? fields.text("name").value_or("") : model;
}

}  // namespace hypura::ollama
