#include "server/openai/request_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <system_error>
#include <utility>

#include "server/server_text.h"
#include "server/v1/history_text.h"
#include "server/v1/refusing.h"

namespace hypura::openai {

namespace {

constexpr int64_t kMostTopLogprobs = 20;

// The name in {"function":{"name":"x"}} or {"name":"x"}.
std::string function_name(Fields& fields, const Json& named) {
  Fields outer(named, "tool_choice");
  std::string name;
  if (const Json* function = outer.object("function")) {
    Fields inner(*function, "tool_choice.function");
    name = inner.text("name").value_or("");
    v1::join_status(outer, inner);
  } else {
    name = outer.text("name").value_or("");
  }
  v1::join_status(fields, outer);
  if (name.empty()) {
    v1::refuse(fields, "tool_choice: a function needs a name");
  }
  return name;
}

v1::ToolRule rule_of_mode(Fields& fields, const std::string& mode) {
  v1::ToolRule rule;
  if (mode == "none") {
    rule.choice = ToolChoice::kNone;
  } else if (mode == "required") {
    rule.choice = ToolChoice::kRequired;
  } else if (mode != "auto") {
    v1::refuse(fields, fmt::format("tool_choice \"{}\" is unknown; use auto, none, required or a function", mode));
  }
  return rule;
}

v1::ToolRule read_allowed_tools(Fields& fields, const Json& choice) {
  const auto nested = choice.find("allowed_tools");
  const Json& allowed = nested == choice.end() ? choice : *nested;
  Fields in(allowed, "tool_choice.allowed_tools");
  v1::ToolRule rule = rule_of_mode(in, in.text("mode").value_or("auto"));
  rule.only.emplace();
  if (const Json* tools = in.array("tools")) {
    for (const Json& tool : *tools) {
      rule.only->push_back(function_name(in, tool));
    }
  }
  v1::join_status(fields, in);
  return rule;
}

// What is no text, by the type of its part; empty for text and what is unknown.
std::string_view other_kind(std::string_view type) {
  if (type == "image_url" || type == "input_image" || type == "computer_screenshot") {
    return "image";
  }
  if (type == "input_audio" || type == "audio") {
    return "audio";
  }
  return type == "file" || type == "input_file" ? "file" : "";
}

// The text of one part of a content.
std::string read_part(Fields& fields, const Json& part, bool of_tool) {
  Fields in(part, "content");
  const std::string type = in.text("type").value_or("");
  std::optional<std::string> text;
  if (type == "text" || type == "input_text" || type == "output_text" || type == "summary_text" ||
      type == "reasoning_text") {
    text = in.text("text");
  } else if (type == "refusal") {
    text = in.text("refusal");
  } else if (of_tool && !other_kind(type).empty()) {
    text = left_out_note(other_kind(type));
  } else if (other_kind(type) == "image") {
    v1::refuse(in, "invalid image input: the models of this server read text only");
  } else if (!other_kind(type).empty()) {
    v1::refuse(in, fmt::format("invalid content of type \"{}\": the models of this server read text only", type));
  } else {
    v1::refuse(in, fmt::format("invalid message format: a part of the content has the unknown type \"{}\"", type));
  }
  if (in.status() && !text) {
    v1::refuse(in, fmt::format("invalid message format: a part of type \"{}\" has no text", type));
  }
  v1::join_status(fields, in);
  return text.value_or("");
}

}  // namespace

std::string read_model(Fields& fields) {
  std::string model = fields.text("model").value_or("");
  if (fields.status() && model.empty()) {
    v1::refuse(fields, "model is required");
  }
  return model;
}

ollama::Options read_options(Fields& fields) {
  constexpr double kMostTemperature = 2;
  constexpr double kMostPenalty = 2;
  ollama::Options options = v1::default_options();
  SamplingOptions& sampling = options.sampling;
  sampling.temperature = v1::read_number(fields, "temperature", sampling.temperature, 0, kMostTemperature);
  sampling.top_p = v1::read_number(fields, "top_p", sampling.top_p, 0, 1);
  sampling.frequency_penalty = v1::read_number(fields, "frequency_penalty", 0, -kMostPenalty, kMostPenalty);
  sampling.presence_penalty = v1::read_number(fields, "presence_penalty", 0, -kMostPenalty, kMostPenalty);
  const std::optional<int64_t> seed = fields.integer("seed");
  if (seed && *seed >= 0) {
    sampling.seed = static_cast<uint32_t>(*seed);
  }
  options.stop = read_stops(fields, "stop");
  return options;
}

bool is_tokens(const Json& json) {
  return json.is_array() && !json.empty() && std::all_of(json.begin(), json.end(), [](const Json& it) {
           return it.is_number_integer() && it >= 0 && it <= std::numeric_limits<int32_t>::max();
         });
}

size_t read_choices(Fields& fields) {
  constexpr int64_t kMostChoices = 128;
  const int64_t choices = fields.integer("n").value_or(1);
  if (choices < 1 || choices > kMostChoices) {
    v1::refuse(fields, fmt::format("n must be between 1 and {}", kMostChoices));
    return 1;
  }
  return static_cast<size_t>(choices);
}

std::vector<std::pair<int32_t, float>> read_logit_bias(Fields& fields) {
  constexpr double kMostBias = 100;
  std::vector<std::pair<int32_t, float>> biases;
  const Json* given = fields.object("logit_bias");
  if (given == nullptr) {
    return biases;
  }
  for (const auto& [key, value] : given->items()) {
    int32_t token = 0;
    const auto read = std::from_chars(key.data(), key.data() + key.size(), token);
    if (read.ec != std::errc() || read.ptr != key.data() + key.size() || token < 0) {
      v1::refuse(fields, fmt::format("logit_bias: \"{}\" is not the id of a token", key));
      return {};
    }
    if (!value.is_number() || std::abs(value.get<double>()) > kMostBias) {
      v1::refuse(fields, fmt::format("logit_bias: the bias of \"{}\" must be a number between -100 and 100", key));
      return {};
    }
    biases.emplace_back(token, value.get<float>());
  }
  return biases;
}

std::vector<std::string> read_stops(Fields& fields, std::string_view key) {
  const Json* value = fields.find(key);
  std::vector<std::string> stops;
  if (value != nullptr && value->is_string()) {
    stops.push_back(value->get<std::string>());
  } else {
    stops = fields.texts(key).value_or(std::vector<std::string>());
  }
  // An empty one would end every answer before it began.
  stops.erase(std::remove(stops.begin(), stops.end(), ""), stops.end());
  return stops;
}

void read_effort(Fields& fields, std::string_view key, AnswerRequest& answer) {
  constexpr std::array<std::string_view, 6> kLevels{"minimal", "low", "medium", "high", "xhigh", "max"};
  const std::string effort = fields.text(key).value_or("");
  if (effort.empty()) {
    return;
  }
  answer.think = effort != "none";
  answer.effort = effort == "none" ? "" : (effort == "ultra" ? "max" : effort);
  if (*answer.think && std::find(kLevels.begin(), kLevels.end(), answer.effort) == kLevels.end()) {
    v1::refuse(fields,
               fmt::format("invalid reasoning value: \"{}\" (must be \"none\", \"minimal\", \"low\", \"medium\", "
                           "\"high\", \"max\", \"xhigh\" or \"ultra\")",
                           effort));
  }
}

void read_template_values(Fields& fields, AnswerRequest& answer) {
  const Json* values = fields.object("chat_template_kwargs");
  if (values == nullptr) {
    return;
  }
  Fields in(*values, "chat_template_kwargs");
  const std::optional<bool> think = in.boolean("enable_thinking");
  answer.think = think ? think : answer.think;
  v1::join_status(fields, in);
  Json others = *values;
  others.erase("enable_thinking");
  answer.template_values = dump_json(others);
}

std::optional<std::string> read_format(Fields& format, const Json* schema_of) {
  const std::string type = format.text("type").value_or("");
  if (type == "text") {
    return std::nullopt;
  }
  if (type == "json_object") {
    return "{}";
  }
  if (type != "json_schema") {
    v1::refuse(
        format,
        fmt::format("the answer's format has the unknown type \"{}\"; use text, json_object or json_schema", type));
    return std::nullopt;
  }
  if (schema_of == nullptr) {
    v1::refuse(format, "a format of the type json_schema needs the field json_schema");
    return std::nullopt;
  }
  Fields holder(*schema_of, "json_schema");
  std::string schema = v1::schema_text(holder.object("schema"));
  v1::join_status(format, holder);
  return schema;
}

int32_t read_top_logprobs(Fields& fields, std::string_view key) {
  const int64_t top = fields.integer(key).value_or(0);
  if (top < 0 || top > kMostTopLogprobs) {
    v1::refuse(fields, fmt::format("{} must be between 0 and {}", key, kMostTopLogprobs));
  }
  return static_cast<int32_t>(std::clamp<int64_t>(top, 0, kMostTopLogprobs));
}

v1::ToolRule read_tool_choice(Fields& fields) {
  const Json* choice = fields.find("tool_choice");
  if (choice == nullptr) {
    return {};
  }
  if (choice->is_string()) {
    return rule_of_mode(fields, choice->get<std::string>());
  }
  Fields in(*choice, "tool_choice");
  const std::string type = in.text("type").value_or("");
  v1::join_status(fields, in);
  if (!fields.status()) {
    return {};
  }
  if (type == "allowed_tools") {
    return read_allowed_tools(fields, *choice);
  }
  if (type != "function") {
    v1::refuse(fields, fmt::format("tool_choice of the type \"{}\" is not supported", type));
    return {};
  }
  return {ToolChoice::kRequired, std::vector{function_name(fields, *choice)}};
}

std::string read_content(Fields& fields, const Json& content, bool of_tool) {
  if (content.is_string()) {
    return content.get<std::string>();
  }
  if (!content.is_array()) {
    v1::refuse(fields, fmt::format("invalid message content type: {}", json_kind(content)));
    return {};
  }
  std::string text;
  for (const Json& part : content) {
    text += (text.empty() ? "" : "\n") + read_part(fields, part, of_tool);
  }
  return text;
}

std::string read_arguments(Fields& fields, std::string_view key) {
  return v1::call_arguments(fields.text(key).value_or(""));
}

}  // namespace hypura::openai
