#include "engine/chat_prompt.h"

#include "chat.h"
#include "llama.h"
#include "support/log.h"

namespace hypura {

namespace {

// The model's own templates; null when it has none that can be used.
common_chat_templates* own_templates(const llama_model* model) {
  try {
    auto templates = common_chat_templates_init(model, "");
    return common_chat_templates_was_explicit(templates.get()) ? templates.release() : nullptr;
  } catch (...) {
    spdlog::warn("llama.cpp cannot read the model's chat template: ChatML is used instead");
    return nullptr;
  }
}

}  // namespace

void ChatPrompt::TemplatesDeleter::operator()(common_chat_templates* templates) const {
  common_chat_templates_free(templates);
}

ChatPrompt::ChatPrompt(const llama_model* model)
    : control_(llama_model_get_vocab(model)), templates_(own_templates(model)), explicit_(templates_ != nullptr) {
  know_tokenizer(model);
  if (!explicit_) {
    templates_.reset(common_chat_templates_init(model, "chatml").release());
  }
}

ChatPrompt::~ChatPrompt() = default;

Result<common_chat_params> ChatPrompt::apply(const common_chat_templates_inputs& inputs) const {
  try {  // the template engine reports by exceptions
    return common_chat_templates_apply(templates_.get(), inputs);
  } catch (const std::exception& error) {
    return fail(ErrorCode::kUsage, "the model's chat template refuses these messages: {}", error.what());
  } catch (...) {  // another C++ library's exceptions, where llama.cpp was built with one
    return fail(ErrorCode::kUsage, "the model's chat template refuses these messages");
  }
}

Result<std::vector<int32_t>> ChatPrompt::tokens(const std::vector<ChatMessage>& messages) const {
  MaskedText masked(control_);
  common_chat_templates_inputs inputs;
  for (const ChatMessage& message : messages) {
    common_chat_msg& safe = inputs.messages.emplace_back();
    safe.role = message.role;
    safe.content = masked.mask(message.content);
  }
  const bool add_bos = llama_vocab_get_add_bos(control_.vocab());
  return apply(inputs).map([&](const common_chat_params& it) { return masked.tokens(it.prompt, add_bos); });
}

}  // namespace hypura
