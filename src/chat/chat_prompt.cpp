#include "chat/chat_prompt.h"

#include <utility>

#include "chat.h"
#include "chat/message_form.h"
#include "support/fail.h"
#include "support/log.h"
#include "templates/template_refusal.h"

namespace hypura {

namespace {

// The templates that are given, else the model's own; null when there are none that can be used.
common_chat_templates* own_templates(const llama_model& model, const std::string& given) {
  auto templates = given.empty() ? model_templates(model) : given_templates(model, given);
  if (!templates) {
    logger().warn("the {} cannot be used: {}; using ChatML instead",
                  given.empty() ? "model's chat template" : "chat template that is given", templates.error().message);
    return nullptr;
  }
  return templates->release();
}

bool goes_on(const common_chat_templates_inputs& inputs) {
  return inputs.continue_final_message != COMMON_CHAT_CONTINUATION_NONE;
}

}  // namespace

ChatPrompt::ChatPrompt(const llama_model& model, const std::string& given)
    : control_(Vocabulary(model)),
      templates_(own_templates(model, given)),
      explicit_(templates_ != nullptr),
      shapes_{MessageShapes([this](const auto& inputs) { return tried(inputs); }, false),
              MessageShapes([this](const auto& inputs) { return tried(inputs); }, true)},
      thinking_([this](const auto& inputs) { return tried(inputs); }) {
  know_tokenizer(model);
  if (!explicit_) {
    templates_ = chatml_templates(model);
  }
}

ChatPrompt::~ChatPrompt() = default;

bool ChatPrompt::has_own_handler(bool tools) const {
  const size_t which = tools ? 1 : 0;
  std::call_once(handler_once_[which], [&] { own_handler_[which] = has_template_handler(*templates_, tools); });
  return own_handler_[which];
}

Result<common_chat_params> ChatPrompt::as_it_is(const common_chat_templates_inputs& inputs, Wanted wanted,
                                                ConversationTexts& texts) const {
  common_chat_templates_inputs asked = inputs;
  if (wanted == Wanted::kPrompt) {                                                           // it is the same with
    asked.tool_choice = COMMON_CHAT_TOOL_CHOICE_NONE;                                        // no grammar
    asked.force_pure_content = !goes_on(inputs) && !has_own_handler(!inputs.tools.empty());  // no analysis
  }
  return apply_templates(*templates_, std::move(asked), &texts).map_error([](const Error& it) {
    return Error{it.code, refused_rule(it.message)};
  });
}

std::optional<std::string> ChatPrompt::tried(const common_chat_templates_inputs& inputs) const {
  ConversationTexts texts;
  auto params = as_it_is(inputs, Wanted::kPrompt, texts);
  return params ? std::optional(std::move(params->prompt)) : std::nullopt;
}

// How calls are written where the template leaves them out.
const CallWriter& ChatPrompt::call_writer(bool tools) const {
  static const CallWriter kInWords = call_in_words;
  if (!tools || shapes_[1].takes("UCTAU")) {
    return kInWords;
  }
  std::call_once(writer_once_, [this] {
    common_chat_templates_inputs inputs;
    inputs.messages.emplace_back().role = "user";
    inputs.messages.back().content = "Hello";
    inputs.tools = {{"look_up", "Looks up a word.",
                     R"({"type":"object","properties":{"word":{"type":"string"}},"required":["word"]})"}};
    ConversationTexts texts;
    const auto params = as_it_is(inputs, Wanted::kAll, texts);
    writer_ = params ? writer_for(*params, {"look_up", R"({"word":"one"})", ""}) : kInWords;
  });
  return writer_;
}

Result<common_chat_params> ChatPrompt::arranged(const common_chat_templates_inputs& inputs, Wanted wanted,
                                                AnswerBeginning* answer) const {
  const MessageShapes& shapes = shapes_[inputs.tools.empty() ? 0 : 1];
  common_chat_templates_inputs fitting = inputs;
  ConversationTexts texts;
  const auto note = [&] {
    if (answer == nullptr) {
      return;
    }
    answer->ends = texts.ends();
    if (goes_on(inputs)) {
      answer->content = fitting.messages.back().content;
      answer->thinking = fitting.messages.back().reasoning_content;
    }
  };
  arrange_messages(
      fitting.messages, goes_on(inputs), [&](std::string_view shape) { return shapes.takes(shape); },
      call_writer(!inputs.tools.empty()));
  auto params = as_it_is(fitting, wanted, texts);
  if (params || (wanted == Wanted::kAll && tried(fitting))) {
    note();
    return params;  // or what fails is not the rendering
  }
  fitting.messages = inputs.messages;
  arrange_messages(fitting.messages, goes_on(inputs), strictest_takes);
  texts = {};
  auto strict = as_it_is(fitting, wanted, texts);
  if (strict) {
    note();
  }
  return strict ? std::move(strict) : std::move(params);
}

// For a conversation that was rendered before, of which a short one takes the place.
Result<common_chat_params> ChatPrompt::begun(const common_chat_templates_inputs& inputs, Wanted wanted,
                                             const AnswerBeginning& answer) const {
  common_chat_templates_inputs fitting = inputs;
  fitting.messages.resize(1);
  fitting.messages[0] = {};
  fitting.messages[0].role = "user";
  fitting.messages[0].content = "Hello";
  if (goes_on(inputs)) {
    common_chat_msg& last = fitting.messages.emplace_back();
    last.role = "assistant";
    last.content = answer.content;
    last.reasoning_content = answer.thinking;
  }
  ConversationTexts texts = answer.ends;
  return as_it_is(fitting, wanted, texts);
}

// Names what the template refuses: the variables or the tools when it takes the conversation without them, else the
// first message that it does not take after those before it.
Error ChatPrompt::refusal(const common_chat_templates_inputs& inputs, const Error& error) const {
  const auto named = [&](const std::string& what) {
    return Error{error.code, fmt::format("the model's chat template refuses {}: {}", what, error.message)};
  };
  common_chat_templates_inputs part = inputs;
  part.continue_final_message = COMMON_CHAT_CONTINUATION_NONE;
  part.add_generation_prompt = true;
  part.chat_template_kwargs.clear();
  if (!inputs.chat_template_kwargs.empty() && arranged(part, Wanted::kPrompt)) {
    return named("chat_template_kwargs");
  }
  part.tools.clear();
  if (!inputs.tools.empty() && arranged(part, Wanted::kPrompt)) {
    return named("the tools");
  }
  part.tools = inputs.tools;
  size_t taken = 0;
  size_t refused = inputs.messages.size();
  while (refused > taken + 1) {
    const size_t middle = taken + (refused - taken) / 2;
    part.messages.assign(inputs.messages.begin(), inputs.messages.begin() + static_cast<std::ptrdiff_t>(middle));
    (arranged(part, Wanted::kPrompt) ? taken : refused) = middle;
  }
  return named(refused == 0 ? "a conversation without messages"
                            : fmt::format("message {} ({})", refused, inputs.messages[refused - 1].role));
}

Result<common_chat_params> ChatPrompt::apply(const common_chat_templates_inputs& inputs,
                                             const AnswerBeginning* answer) const {
  const TemplateAllowance allowance(template_limits(inputs));
  auto params = answer != nullptr ? begun(inputs, Wanted::kAll, *answer) : arranged(inputs, Wanted::kAll);
  if (params) {
    return params;
  }
  if (answer != nullptr || arranged(inputs, Wanted::kPrompt)) {
    return fail(params.error().code, "llama.cpp cannot make a parser for the answer: {}", params.error().message);
  }
  return propagate(refusal(inputs, params.error()));
}

Result<PromptText> ChatPrompt::render(const common_chat_templates_inputs& inputs) const {
  const TemplateAllowance allowance(template_limits(inputs));
  PromptText prompt;
  auto params = arranged(inputs, Wanted::kPrompt, &prompt.answer);
  if (!params) {
    return propagate(refusal(inputs, params.error()));
  }
  prompt.text = std::move(params->prompt);
  return prompt;
}

bool ChatPrompt::wants_nine_ids(bool tools) const {
  const MessageShapes& shapes = shapes_[tools ? 1 : 0];
  return shapes.takes("UCTAU") && !shapes.takes("UCTCTCTCTAU", CallIds::kCommon);
}

Result<std::vector<int32_t>> ChatPrompt::tokens(const std::vector<ChatMessage>& messages) const {
  MaskedText masked(control_);
  common_chat_templates_inputs inputs;
  for (const ChatMessage& message : messages) {
    common_chat_msg& safe = inputs.messages.emplace_back();
    safe.role = message.role;
    safe.content = masked.mask(message.content);
  }
  const bool add_bos = control_.vocab().adds_bos();
  return render(inputs)
      .map([&](const PromptText& prompt) { return masked.tokens(prompt.text, add_bos); })
      .map_error([&](const Error& it) {
        return Error{it.code, masked.text(it.message)};
      });
}

}  // namespace hypura
