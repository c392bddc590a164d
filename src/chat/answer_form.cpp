#include "chat/answer_form.h"

#include <algorithm>
#include <utility>

#include "chat.h"
#include "llama/tokenizer/control_text.h"
#include "schema/answer_schema.h"
#include "support/fail.h"

namespace hypura {

namespace {

// `text` as a regular expression that matches it from beginning to end.
std::string anchored(const std::string& pattern) {
  return (pattern.rfind('^', 0) == 0 ? "" : "^") + pattern + (!pattern.empty() && pattern.back() == '$' ? "" : "$");
}

// Models leave out or vary the space after a mark.
std::string without_space_after(const std::string& text) {
  return text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
}

std::string without_space_at_first(const std::string& text) {
  return text.substr(std::min(text.size(), text.find_first_not_of(" \t\r\n")));
}

// `opening` without what `prompt` ends with of it: without thoughts, some templates begin the answer further on.
std::string still_to_come(const std::string& opening, const std::string& prompt) {
  constexpr size_t kLeast = 4;  // less could be chance
  for (size_t size = std::min(opening.size(), prompt.size()); size >= kLeast; --size) {
    if (prompt.compare(prompt.size() - size, size, opening, 0, size) == 0) {
      return opening.substr(size);
    }
  }
  return opening;
}

Result<common_chat_parser_params> parser_of(const common_chat_params& params) {
  common_chat_parser_params parser(params);
  parser.reasoning_format = COMMON_REASONING_FORMAT_AUTO;
  try {
    if (!params.parser.empty()) {
      parser.parser.load(params.parser);
    }
  } catch (...) {
    return fail(ErrorCode::kInternal, "llama.cpp cannot load its own parser for the model's answers");
  }
  return parser;
}

}  // namespace

FormMaker::FormMaker(const ChatPrompt& prompt, const AnswerShape& shape, const common_chat_templates_inputs& inputs,
                     const ToolSchemas& tools, const AnswerBeginning* beginning)
    : prompt_(prompt), shape_(shape), inputs_(inputs), tools_(tools), beginning_(beginning) {}

Result<ChatForm> FormMaker::make(const AnswerRequest& request) {
  std::string schema;
  if (request.json_schema) {
    auto rules = schema_rules(*request.json_schema);
    if (!rules) {
      return propagate(rules.error());
    }
    schema = std::move(*rules);
  }
  const auto apply = [&](common_chat_tool_choice choice, std::unique_ptr<common_chat_params>& made) -> Status {
    common_chat_templates_inputs inputs = inputs_;
    inputs.tool_choice = choice;
    auto params = prompt_.apply(inputs, beginning_);
    if (!params) {
      return propagate(params.error());
    }
    made = std::make_unique<common_chat_params>(std::move(*params));
    made->grammar = tools_.complete(made->grammar);
    show(*made);
    return {};
  };
  const bool calls = !request.tools.empty() && request.tool_choice != ToolChoice::kNone;
  if (!request.tools.empty()) {
    if (Status status = apply(COMMON_CHAT_TOOL_CHOICE_AUTO, with_calls_); !status) {
      return propagate(status.error());
    }
  }
  if (!calls || !schema.empty()) {
    if (Status status = apply(COMMON_CHAT_TOOL_CHOICE_NONE, plain_); !status) {
      return propagate(status.error());
    }
  }
  const common_chat_params& params = calls ? *with_calls_ : *plain_;
  form_.stops = params.additional_stops;
  form_.rules.thinking = thinking_marks(params);
  form_.rules.after_thinking = shape_.after_thinking;
  form_.rules.space_after_thinking = shape_.after_thinking.empty() && !shape_.space_is_content;
  form_.rules.prompt_end = params.generation_prompt;
  look_at_thoughts(params.generation_prompt);
  Status status = set_parser(params);
  if (status) {
    status = hold_to(request, schema);
  }
  if (!status) {
    return propagate(status.error());
  }
  return std::move(form_);
}

Status FormMaker::hold_to(const AnswerRequest& request, const std::string& schema) {
  const bool tools = !request.tools.empty();
  if (tools && request.tool_choice == ToolChoice::kRequired) {
    return hold_to_calls("");
  }
  if (tools && request.tool_choice == ToolChoice::kAuto && !schema.empty()) {
    return hold_to_calls(schema);
  }
  if (!schema.empty() && shape_.content_is_known) {
    hold_to_content(schema);
  } else if (!schema.empty()) {
    common_chat_templates_inputs inputs = inputs_;
    inputs.tools.clear();
    inputs.json_schema = schema_stand_in();
    return hold_as_llama(inputs, schema);
  } else if (tools && request.tool_choice == ToolChoice::kAuto) {
    wait_for_calls();
  } else if (tools) {
    forbid_calls();
  }
  return {};
}

// The answer is a call, or JSON of `schema` where that is not empty.
Status FormMaker::hold_to_calls(const std::string& schema) {
  form_.parser->end_with_calls();
  Status status = shape_.calls_begin_there ? hold_to_known_calls() : hold_to_calls_as_llama();
  if (!status || schema.empty()) {
    return status;
  }
  const bool told = shape_.content_is_known && (shape_.calls_begin_there || !shape_.call_opening.empty());
  if (!told) {
    return fail(ErrorCode::kUsage,
                "the model's chat template does not separate tool calls from content, so an answer cannot be "
                "constrained: request a JSON schema or tools, not both");
  }
  hold_to_content(schema);
  auto plain = parser_of(*plain_);
  if (!plain) {
    return propagate(plain.error());
  }
  form_.parser->or_content(*plain);
  return {};
}

// By the grammar that waits for calls: what it waits for must come at once.
Status FormMaker::hold_to_known_calls() {
  const std::string& prompt = form_.rules.prompt_end;
  // Without thoughts a prompt may end before the space that answers follow.
  const std::string rest = shape_.beginning.rfind(prompt, 0) == 0 ? shape_.beginning.substr(prompt.size()) : "";
  TextForm calls{with_calls_->grammar,
                 still_to_come(shape_.before_call, prompt),
                 without_space_after(rest).empty() ? rest + shape_.space_before_call : shape_.space_before_call,
                 {},
                 ""};
  for (const common_grammar_trigger& trigger : with_calls_->grammar_triggers) {
    if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_WORD) {
      calls.begins.push_back(trigger.value);
    }
  }
  for (size_t i = 0; shape_.any_name_begins && i < inputs_.tools.size(); ++i) {
    calls.begins.push_back(shape_.call_opening + inputs_.tools[i].name);
  }
  form_.rules.forms.push_back(std::move(calls));
  return {};
}

// By llama.cpp's grammar for an answer that must call, which may have content before.
Status FormMaker::hold_to_calls_as_llama() {
  common_chat_templates_inputs inputs = inputs_;
  inputs.tool_choice = COMMON_CHAT_TOOL_CHOICE_REQUIRED;
  if (Status status = hold_as_llama(inputs, ""); !status) {
    return status;
  }
  if (!shape_.call_opening.empty()) {
    form_.rules.forms.back().begins = {without_space_at_first(shape_.call_opening)};
  }
  return {};
}

void FormMaker::hold_to_content(const std::string& rules) {
  TextForm content{rules, still_to_come(shape_.content_opening, form_.rules.prompt_end), "", {}, ""};
  if (inputs_.continue_final_message != COMMON_CHAT_CONTINUATION_NONE && !inputs_.messages.back().content.empty()) {
    content.begun = inputs_.messages.back().content;
    form_.rules.thinking = {};
    form_.rules.thinks = false;
  }
  form_.rules.forms.push_back(std::move(content));
}

// By llama.cpp's own grammar and parser for what `inputs` want, which begin with what the prompt holds of the answer: a
// call, or JSON by the rules `schema`.
Status FormMaker::hold_as_llama(const common_chat_templates_inputs& inputs, const std::string& schema) {
  const auto params = prompt_.apply(inputs, beginning_);
  if (!params) {
    return propagate(params.error());
  }
  const bool held = !params->grammar.empty() && !params->grammar_lazy;
  const std::string tools = held ? tools_.complete(params->grammar) : "";
  const auto rules = held && !schema.empty() ? with_schema(tools, schema) : std::optional(tools);
  if (!held || !rules) {
    return fail(ErrorCode::kUsage, "the model's chat template cannot constrain an answer to {}",
                schema.empty() ? "a tool call" : "a JSON schema");
  }
  form_.rules = {};
  form_.rules.forms.push_back({*rules, "", "", {}, params->generation_prompt});
  show(*params);
  return set_parser(*params);
}

// The text is free, and a call that it comes to is of the tools.
void FormMaker::wait_for_calls() {
  AnswerRules& rules = form_.rules;
  if (with_calls_->grammar.empty() || !with_calls_->grammar_lazy) {
    return;
  }
  rules.waits = true;
  rules.forms.push_back({with_calls_->grammar, "", "", {}, ""});
  for (const common_grammar_trigger& trigger : with_calls_->grammar_triggers) {
    switch (trigger.type) {
      case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN:
        rules.trigger_patterns.push_back(trigger.value);
        break;
      case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL:
        rules.trigger_patterns.push_back(anchored(trigger.value));
        break;
      case COMMON_GRAMMAR_TRIGGER_TYPE_WORD:
      case COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN:
        rules.trigger_words.push_back(without_space_after(trigger.value));
        break;
    }
  }
}

// The model knows of tools, and may not call them.
void FormMaker::forbid_calls() {
  AnswerRules& rules = form_.rules;
  for (const common_grammar_trigger& trigger : with_calls_->grammar_triggers) {
    if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_WORD) {
      rules.forbidden.push_back(without_space_after(trigger.value));
    }
  }
  if (!shape_.content_opening.empty() && shape_.content_is_known) {
    rules.forms.push_back({"root ::= .*\n", still_to_come(shape_.content_opening, rules.prompt_end), "", {}, ""});
  } else if (!shape_.call_opening.empty()) {
    rules.forbidden.push_back(without_space_at_first(shape_.call_opening));
  }
}

// Whether the prompt ends within a thought or after one; then none is to come.
void FormMaker::look_at_thoughts(const std::string& beginning) {
  AnswerRules& rules = form_.rules;
  rules.thinks = ends_in_thought(beginning, rules.thinking);
  rules.thought =
      !rules.thinks && !rules.thinking.ends.empty() && beginning.find(rules.thinking.ends.front()) != std::string::npos;
  if (rules.thought || (!rules.thinks && !shape_.thoughts_are_known)) {
    rules.thinking.start.clear();
  }
}

Status FormMaker::set_parser(const common_chat_params& params) {
  auto parser = parser_of(params);
  if (!parser) {
    return propagate(parser.error());
  }
  // After the result of a call some templates begin an answer otherwise, which llama.cpp's parser then does not know.
  const std::string probe = (form_.rules.thinks ? form_.rules.thinking.ends.front() : "") +
                            still_to_come(shape_.content_opening, params.generation_prompt) + "x";
  if (parsed_content(*parser, probe).empty()) {
    common_chat_parser_params other = *parser;
    other.generation_prompt = shape_.beginning + (form_.rules.thinks ? form_.rules.thinking.start : "");
    if (!parsed_content(other, probe).empty()) {
      parser = std::move(other);
    }
  }
  form_.parser = std::make_unique<AnswerParser>(*parser);
  std::vector<std::string> calls;
  for (const common_grammar_trigger& trigger : params.grammar_triggers) {
    if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_WORD) {
      calls.push_back(without_space_after(trigger.value));
    }
  }
  form_.parser->know_marks({thinking_marks(params),
                            without_space_at_first(shape_.after_thinking + shape_.content_opening), std::move(calls)});
  if (!inputs_.parallel_tool_calls) {
    form_.parser->limit_calls(1);
    form_.parser->end_with_calls();
  }
  return {};
}

// The control tokens that the parser, or what holds the text, must see.
void FormMaker::show(const common_chat_params& params) {
  const Vocabulary vocab = prompt_.control().vocab();
  const auto show = [&](const std::string& text) {
    if (const std::vector<int32_t> ids = tokenize_text(vocab, text, false, true); ids.size() == 1) {
      form_.shown.push_back(ids[0]);
    }
  };
  for (const std::string& text : params.preserved_tokens) {
    show(text);
  }
  for (const common_grammar_trigger& trigger : params.grammar_triggers) {
    if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_WORD) {
      show(trigger.value);
    }
  }
}

}  // namespace hypura
