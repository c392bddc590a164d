#include "chat/call_text.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>

#include "chat.h"

namespace hypura {

namespace {

using OrderedJson = nlohmann::ordered_json;

std::string json_text(const OrderedJson& value) {
  return value.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

// {"name": "f", "arguments": {"a":1}}
std::string call_as_json(const common_chat_tool_call& call) {
  return fmt::format(R"({{"name": {}, "arguments": {}}})", json_text(call.name), call.arguments);
}

std::string tagged_json(const common_chat_tool_call& call) {
  return fmt::format("<tool_call>\n{}\n</tool_call>", call_as_json(call));
}

// f(a=1, b="x") in the marks of the LFM2 models.
std::string marked_python(const common_chat_tool_call& call) {
  OrderedJson arguments = OrderedJson::parse(call.arguments, nullptr, false);
  if (!arguments.is_object()) {
    arguments = OrderedJson::object();
  }
  std::string written;
  for (const auto& [name, value] : arguments.items()) {
    std::string text = json_text(value);
    if (value.is_boolean()) {
      text = value.get<bool>() ? "True" : "False";
    } else if (value.is_null()) {
      text = "None";
    }
    written += fmt::format("{}{}={}", written.empty() ? "" : ", ", name, text);
  }
  return fmt::format("<|tool_call_start|>[{}({})]<|tool_call_end|>", call.name, written);
}

bool reads(const common_chat_parser_params& parser, const std::string& text, const common_chat_tool_call& call) {
  try {  // perhaps by exceptions of another C++ library, where llama.cpp was built with one
    const common_chat_msg said = common_chat_parse(text, false, parser);
    return said.tool_calls.size() == 1 && said.tool_calls[0].name == call.name &&
           OrderedJson::parse(said.tool_calls[0].arguments, nullptr, false) ==
               OrderedJson::parse(call.arguments, nullptr, false);
  } catch (...) {
    return false;
  }
}

}  // namespace

std::string call_in_words(const common_chat_tool_call& call) {
  return fmt::format("Call of {}: {}", call.name, call.arguments);
}

CallWriter writer_for(const common_chat_params& params, const common_chat_tool_call& sample) {
  common_chat_parser_params parser(params);
  parser.reasoning_format = COMMON_REASONING_FORMAT_AUTO;
  try {
    parser.parser.load(params.parser);
  } catch (...) {
    return call_in_words;
  }
  for (const CallWriter& writer : std::array<CallWriter, 2>{tagged_json, marked_python}) {
    if (reads(parser, writer(sample), sample)) {
      return writer;
    }
  }
  return call_in_words;
}

}  // namespace hypura
