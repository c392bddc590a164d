#include "engine/chat_format.h"

#include <algorithm>
#include <array>

#include "chat.h"
#include "engine/answer_schema.h"
#include "engine/tool_schemas.h"
#include "llama.h"

namespace hypura {

namespace {

constexpr std::array<const char*, 4> kRoles = {"system", "user", "assistant", "tool"};

// Strings for a template, with stand-ins when `masked` is there.
std::string plain(const std::string& text, MaskedText* masked) {
  return masked == nullptr ? text : masked->mask(text);
}

Result<std::string> json(const std::string& text, MaskedText* masked, const std::string& what) {
  const std::string value = text.empty() ? "{}" : text;
  if (masked != nullptr) {
    return masked->mask_json(value, what);
  }
  if (Status status = check_json(value, what); !status) {
    return propagate(status.error());
  }
  return value;
}

Result<common_chat_msg> converted(const ConversationMessage& message, MaskedText* masked) {
  if (std::find(kRoles.begin(), kRoles.end(), message.role) == kRoles.end()) {
    return fail(ErrorCode::kUsage, "messages: the role '{}' is not known; it can be system, user, assistant or tool",
                message.role);
  }
  common_chat_msg result;
  result.role = message.role;
  result.content = plain(message.content, masked);
  result.reasoning_content = plain(message.thinking, masked);
  result.tool_name = plain(message.tool_name, masked);
  result.tool_call_id = plain(message.tool_call_id, masked);
  for (const ToolCall& call : message.tool_calls) {
    auto arguments = json(call.arguments, masked, "the arguments of a call of " + call.name);
    if (!arguments) {
      return propagate(arguments.error());
    }
    result.tool_calls.push_back({plain(call.name, masked), *arguments, plain(call.id, masked)});
  }
  return result;
}

common_chat_tool_choice choice(ToolChoice choice) {
  switch (choice) {
    case ToolChoice::kNone:
      return COMMON_CHAT_TOOL_CHOICE_NONE;
    case ToolChoice::kRequired:
      return COMMON_CHAT_TOOL_CHOICE_REQUIRED;
    case ToolChoice::kAuto:
      break;
  }
  return COMMON_CHAT_TOOL_CHOICE_AUTO;
}

std::string trimmed(const std::string& text) {
  constexpr const char* kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

// `text` as a regular expression that matches it and nothing else.
std::string escaped(const std::string& text) {
  std::string pattern;
  for (const char c : text) {
    if (std::string_view(".^$|()*+?[]{}\\").find(c) != std::string_view::npos) {
      pattern += '\\';
    }
    pattern += c;
  }
  return pattern;
}

std::string anchored(const std::string& pattern) {
  return (pattern.rfind('^', 0) == 0 ? "" : "^") + pattern + (!pattern.empty() && pattern.back() == '$' ? "" : "$");
}

bool begins_with_space(std::string_view text) {
  return !text.empty() && (text.front() == ' ' || text.front() == '\n' || text.front() == '\t');
}

}  // namespace

Result<common_chat_templates_inputs> ChatFormat::inputs(const AnswerRequest& request,
                                                        const std::vector<ConversationMessage>& messages,
                                                        MaskedText* masked) const {
  common_chat_templates_inputs inputs;
  for (const ConversationMessage& message : messages) {
    auto result = converted(message, masked);
    if (!result) {
      return propagate(result.error());
    }
    inputs.messages.push_back(std::move(*result));
  }
  for (const ToolDefinition& tool : request.tools) {
    auto parameters = json(tool.parameters, masked, "the parameters of the tool " + tool.name);
    if (!parameters) {
      return propagate(parameters.error());
    }
    inputs.tools.push_back({plain(tool.name, masked), plain(tool.description, masked), std::move(*parameters)});
  }
  if (!messages.empty() && messages.back().role == "assistant" && messages.back().tool_calls.empty()) {
    inputs.continue_final_message = COMMON_CHAT_CONTINUATION_AUTO;
    inputs.add_generation_prompt = false;
  }
  inputs.tool_choice = choice(request.tool_choice);
  inputs.enable_thinking = request.think.value_or(true);
  inputs.reasoning_format = COMMON_REASONING_FORMAT_AUTO;
  return inputs;
}

Result<RenderedChat> ChatFormat::render(const AnswerRequest& request,
                                        const std::vector<ConversationMessage>& messages) const {
  MaskedText masked(prompt_.control());
  auto safe = inputs(request, messages, &masked);
  if (!safe) {
    return propagate(safe.error());
  }
  const bool add_bos = llama_vocab_get_add_bos(prompt_.control().vocab());
  // The prompt is the same, and no grammar is made of the tools as they are, which might not be possible.
  safe->tool_choice = COMMON_CHAT_TOOL_CHOICE_NONE;
  return shown(*safe).map([&](const common_chat_params& params) {
    return RenderedChat{masked.text(params.prompt), masked.tokens(params.prompt, add_bos)};
  });
}

// Some templates do not take tools whose parameters are unusual: they are shown them in ever plainer words.
Result<common_chat_params> ChatFormat::shown(common_chat_templates_inputs inputs) const {
  auto params = prompt_.apply(inputs);
  const std::vector<common_chat_tool> tools = inputs.tools;
  for (size_t i = 0; !params && !tools.empty() && i < 2; ++i) {
    std::transform(tools.begin(), tools.end(), inputs.tools.begin(), [&](common_chat_tool tool) {
      tool.parameters = plain_parameters(tool.parameters, i > 0);
      return tool;
    });
    if (auto plain = prompt_.apply(inputs)) {
      return plain;
    }
  }
  return params;
}

// With tools in a form that llama.cpp can make a grammar of, which `schemas` completes.
Result<common_chat_params> ChatFormat::followed(common_chat_templates_inputs inputs, ToolSchemas& schemas) const {
  const std::vector<common_chat_tool> tools = inputs.tools;
  Result<common_chat_params> first;
  for (const bool flat : {false, true}) {
    schemas = ToolSchemas(flat);
    std::transform(tools.begin(), tools.end(), inputs.tools.begin(), [&](common_chat_tool tool) {
      tool.parameters = schemas.add(tool.name, tool.parameters);
      return tool;
    });
    auto params = prompt_.apply(inputs);
    if (params || tools.empty()) {
      return params;
    }
    first = flat ? std::move(first) : std::move(params);
  }
  return first;
}

Result<ChatForm> ChatFormat::form(const AnswerRequest& request) const {
  // Not masked: the answer is to be what the tools and the schema say.
  auto wanted = inputs(request, request.messages, nullptr);
  if (!wanted) {
    return propagate(wanted.error());
  }
  wanted->parallel_tool_calls = common_chat_templates_get_caps(&prompt_.templates())["supports_parallel_tool_calls"];
  std::string rules;
  if (request.json_schema) {
    auto made = schema_rules(*request.json_schema);
    if (!made) {
      return propagate(made.error());
    }
    rules = std::move(*made);
    wanted->json_schema = schema_stand_in();
  }
  ToolSchemas tools(false);
  auto params = followed(*wanted, tools);
  if (!params) {
    return propagate(params.error());
  }
  ChatForm form;
  form.grammar = grammar_of(*params, form.shown);
  form.grammar.rules = tools.complete(form.grammar.rules);
  if (auto made = with_schema(form.grammar.rules, rules); made && !rules.empty()) {
    form.grammar.rules = std::move(*made);
  } else if (!rules.empty()) {  // the template's own handling has none for schemas
    form.grammar.rules = std::move(rules);
    form.grammar.lazy = false;
    form.grammar.begun.clear();
  }
  form.stops = params->additional_stops;
  common_chat_parser_params parser(*params);
  parser.reasoning_format = COMMON_REASONING_FORMAT_AUTO;
  try {
    if (!params->parser.empty()) {
      parser.parser.load(params->parser);
    }
  } catch (...) {
    return fail(ErrorCode::kInternal, "llama.cpp cannot read its own parser of the model's answers");
  }
  form.parser = std::make_unique<AnswerParser>(parser);
  return form;
}

Grammar ChatFormat::grammar_of(const common_chat_params& params, std::vector<int32_t>& shown) const {
  const llama_vocab* vocab = prompt_.control().vocab();
  const auto tokens = [&](const std::string& text) { return tokenize_text(vocab, text, false, true); };
  for (const std::string& text : params.preserved_tokens) {
    if (const std::vector<int32_t> ids = tokens(text); ids.size() == 1) {
      shown.push_back(ids[0]);
    }
  }
  Grammar grammar;
  grammar.rules = params.grammar;
  grammar.lazy = params.grammar_lazy;
  grammar.begun = begun(params.generation_prompt);
  for (const common_grammar_trigger& trigger : params.grammar_triggers) {
    const std::vector<int32_t> ids = tokens(trigger.value);
    if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN) {
      grammar.trigger_tokens.push_back(trigger.token);
    } else if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_WORD && ids.size() == 1) {
      grammar.trigger_tokens.push_back(ids[0]);
      shown.push_back(ids[0]);
    } else if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_WORD) {
      grammar.trigger_patterns.push_back(escaped(trigger.value));
    } else {
      const bool full = trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL;
      grammar.trigger_patterns.push_back(full ? anchored(trigger.value) : trigger.value);
    }
  }
  if (params.supports_thinking && !trimmed(params.thinking_start_tag).empty()) {
    grammar.thinking_start = tokens(trimmed(params.thinking_start_tag));
    for (const std::string& tag : params.thinking_end_tags) {
      grammar.thinking_ends.push_back(tokens(trimmed(tag)));
    }
    std::erase_if(grammar.thinking_ends, [](const std::vector<int32_t>& it) { return it.empty(); });
  }
  return grammar;
}

// The tokens of what the template begins the answer with. Some tokenizers put a space before the first, which the
// grammar does not know.
std::vector<int32_t> ChatFormat::begun(const std::string& beginning) const {
  const llama_vocab* vocab = prompt_.control().vocab();
  std::vector<int32_t> tokens = tokenize_text(vocab, beginning, false, true);
  if (!tokens.empty() && !begins_with_space(beginning) && begins_with_space(token_text(vocab, tokens[0], true))) {
    tokens.erase(tokens.begin());
  }
  return tokens;
}

}  // namespace hypura
