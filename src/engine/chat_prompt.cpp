#include "engine/chat_prompt.h"

#include "chat.h"
#include "llama.h"
#include "support/log.h"

namespace hypura {

namespace {

// The model's own templates; null when it has none that can be used.
common_chat_templates* own_templates(const llama_model* model) {
  auto templates = model_templates(model);
  if (!templates) {
    spdlog::warn("the model's chat template cannot be used: {}; ChatML is used instead", templates.error().message);
    return nullptr;
  }
  return templates->release();
}

}  // namespace

ChatPrompt::ChatPrompt(const llama_model* model)
    : control_(llama_model_get_vocab(model)), templates_(own_templates(model)), explicit_(templates_ != nullptr) {
  know_tokenizer(model);
  if (!explicit_) {
    templates_ = chatml_templates(model);
  }
}

ChatPrompt::~ChatPrompt() = default;

Result<common_chat_params> ChatPrompt::apply(const common_chat_templates_inputs& inputs) const {
  return apply_templates(*templates_, inputs).map_error([](const Error& error) {
    return Error{error.code, "the model's chat template refuses these messages: " + error.message};
  });
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
