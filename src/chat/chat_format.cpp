#include "chat/chat_format.h"

#include <algorithm>
#include <array>
#include <optional>

#include "chat.h"
#include "output/tool_call_ids.h"
#include "schema/tool_schemas.h"
#include "support/fail.h"
#include "templates/template_values.h"

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

Result<common_chat_msg> converted(const ChatMessage& message, MaskedText* masked) {
  if (std::find(kRoles.begin(), kRoles.end(), message.role) == kRoles.end()) {
    return fail(ErrorCode::kUsage, "messages: unknown role '{}'; use system, user, assistant or tool", message.role);
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

AnswerBeginning unmasked(const AnswerBeginning& answer, const MaskedText& masked) {
  const auto text = [&](const std::optional<std::string>& it) {
    return it ? std::optional(masked.text(*it)) : std::nullopt;
  };
  return {
      {text(answer.ends.without), text(answer.ends.begun)}, masked.text(answer.content), masked.text(answer.thinking)};
}

}  // namespace

Result<common_chat_templates_inputs> ChatFormat::inputs(const AnswerRequest& request,
                                                        const std::vector<ChatMessage>& messages,
                                                        MaskedText* masked) const {
  common_chat_templates_inputs inputs;
  std::vector<ChatMessage> resolved = messages;
  resolve_call_ids(resolved, prompt_.wants_nine_ids(!request.tools.empty()));
  for (const ChatMessage& message : resolved) {
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
  auto values = template_values(request.template_values, masked);
  if (!values) {
    return propagate(values.error());
  }
  inputs.chat_template_kwargs = std::move(*values);
  prompt_.thinking().set({request.think, request.effort, request.thinking_budget}, inputs);
  inputs.reasoning_format = COMMON_REASONING_FORMAT_AUTO;
  return inputs;
}

// The prompt with stand-ins, which `masked` knows.
Result<PromptText> ChatFormat::masked_text(const AnswerRequest& request, const std::vector<ChatMessage>& messages,
                                           MaskedText& masked) const {
  auto safe = inputs(request, messages, &masked);
  if (!safe) {
    return propagate(safe.error());
  }
  auto prompt = prompt_.render(*safe);
  // Some templates do not take tools whose parameters are unusual: they are shown them in ever plainer words.
  for (size_t flat = 0; !prompt && !safe->tools.empty() && flat < 2; ++flat) {
    common_chat_templates_inputs plain_tools = *safe;
    for (common_chat_tool& tool : plain_tools.tools) {
      tool.parameters = plain_parameters(tool.parameters, flat == 1);
    }
    if (auto other = prompt_.render(plain_tools)) {
      return other;
    }
  }
  return prompt.map_error([&](const Error& it) { return Error{it.code, masked.text(it.message)}; });
}

Result<RenderedChat> ChatFormat::render(const AnswerRequest& request, const std::vector<ChatMessage>& messages,
                                        const TextLimit* limit) const {
  MaskedText masked(prompt_.control());
  const bool add_bos = prompt_.control().vocab().adds_bos();
  return masked_text(request, messages, masked).map([&](const PromptText& prompt) {
    RenderedChat chat{masked.text(prompt.text), {}, 0, unmasked(prompt.answer, masked)};
    if (limit != nullptr) {
      chat.estimate = estimate_if_beyond(limit->bound, prompt_.control().vocab(), chat.text, limit->most);
    }
    if (chat.estimate == 0) {
      chat.tokens = masked.tokens(prompt.text, add_bos);
    }
    return chat;
  });
}

Result<std::string> ChatFormat::text(const AnswerRequest& request, const std::vector<ChatMessage>& messages) const {
  MaskedText masked(prompt_.control());
  return masked_text(request, messages, masked).map([&](const PromptText& prompt) { return masked.text(prompt.text); });
}

Result<ChatForm> ChatFormat::form(const AnswerRequest& request, const AnswerBeginning* beginning) const {
  const bool known = beginning != nullptr && !request.messages.empty();
  // Not masked: the answer is to be what the tools and the schema say.
  auto wanted = inputs(request, known ? std::vector<ChatMessage>{request.messages.back()} : request.messages, nullptr);
  if (!wanted) {
    return propagate(wanted.error());
  }
  wanted->parallel_tool_calls = request.parallel_tool_calls &&
                                common_chat_templates_get_caps(&prompt_.templates())["supports_parallel_tool_calls"];
  // The tools in a form that llama.cpp can make a grammar of; for some templates only a flat one is.
  auto form = form_with_tools(request, *wanted, false, known ? beginning : nullptr);
  if (form || wanted->tools.empty()) {
    return form;
  }
  auto flat = form_with_tools(request, *wanted, true, known ? beginning : nullptr);
  return flat ? std::move(flat) : std::move(form);
}

Result<ChatForm> ChatFormat::form_with_tools(const AnswerRequest& request, common_chat_templates_inputs inputs,
                                             bool flat, const AnswerBeginning* beginning) const {
  ToolSchemas tools(flat);
  for (common_chat_tool& tool : inputs.tools) {
    tool.parameters = tools.add(tool.name, tool.parameters);
  }
  return FormMaker(prompt_, shape(), inputs, tools, beginning).make(request);
}

const AnswerShape& ChatFormat::shape() const {
  std::call_once(shape_found_, [this] { shape_ = find_answer_shape(prompt_); });
  return shape_;
}

}  // namespace hypura
