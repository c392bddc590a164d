#include "engine/chat_prompt.h"

#include <algorithm>

#include "chat.h"
#include "llama.h"

namespace hypura {

namespace {

// Stands for the content of message `index` while the template is applied: no template writes private-use characters.
std::string stand_in(size_t index) {
  return fmt::format("\uE0F0{}\uE0F1", index);
}

bool spells_control_token(const llama_vocab* vocab, const std::string& text) {
  const std::vector<int32_t> tokens = tokenize_text(vocab, text, false, true);
  return std::any_of(tokens.begin(), tokens.end(), [&](llama_token token) {
    return (llama_vocab_get_attr(vocab, token) & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_USER_DEFINED)) != 0;
  });
}

void append(std::vector<int32_t>& to, const std::vector<int32_t>& tokens) {
  to.insert(to.end(), tokens.begin(), tokens.end());
}

}  // namespace

std::vector<int32_t> tokenize_text(const llama_vocab* vocab, std::string_view text, bool add_bos, bool parse_special) {
  const auto length = static_cast<int32_t>(text.size());
  const int32_t count = -llama_tokenize(vocab, text.data(), length, nullptr, 0, add_bos, parse_special);
  std::vector<int32_t> tokens(static_cast<size_t>(std::max(count, 0)));
  if (count > 0) {
    llama_tokenize(vocab, text.data(), length, tokens.data(), count, add_bos, parse_special);
  }
  return tokens;
}

void ChatPrompt::TemplatesDeleter::operator()(common_chat_templates* templates) const {
  common_chat_templates_free(templates);
}

ChatPrompt::ChatPrompt(const llama_model* model)
    : vocab_(llama_model_get_vocab(model)), templates_(common_chat_templates_init(model, "").release()) {}

ChatPrompt::~ChatPrompt() = default;

bool ChatPrompt::explicit_template() const {
  return common_chat_templates_was_explicit(templates_.get());
}

Result<std::string> ChatPrompt::apply(const std::vector<ChatMessage>& messages) const {
  common_chat_templates_inputs inputs;
  for (const ChatMessage& message : messages) {
    common_chat_msg converted;
    converted.role = message.role;
    converted.content = message.content;
    inputs.messages.push_back(std::move(converted));
  }
  try {  // the template engine reports by exceptions
    return common_chat_templates_apply(templates_.get(), inputs).prompt;
  } catch (const std::exception& error) {
    return fail(ErrorCode::kUsage, "the model's chat template refuses these messages: {}", error.what());
  } catch (...) {  // another C++ library's exceptions, where llama.cpp was built with one
    return fail(ErrorCode::kUsage, "the model's chat template refuses these messages");
  }
}

Result<std::vector<int32_t>> ChatPrompt::tokens(const std::vector<ChatMessage>& messages) const {
  const bool plain = std::none_of(messages.begin(), messages.end(), [&](const ChatMessage& message) {
    return spells_control_token(vocab_, message.content);
  });
  const bool add_bos = llama_vocab_get_add_bos(vocab_);
  if (plain) {
    return apply(messages).map([&](const std::string& prompt) { return tokenize_text(vocab_, prompt, add_bos, true); });
  }
  std::vector<ChatMessage> masked = messages;
  for (size_t i = 0; i < masked.size(); ++i) {
    masked[i].content = stand_in(i);
  }
  auto prompt = apply(masked);
  if (!prompt) {
    return propagate(prompt.error());
  }
  std::vector<int32_t> tokens;
  std::string_view rest = *prompt;
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string mark = stand_in(i);
    const size_t at = rest.find(mark);
    if (at == std::string_view::npos) {
      continue;  // the template left this message out
    }
    append(tokens, tokenize_text(vocab_, rest.substr(0, at), add_bos && tokens.empty(), true));
    append(tokens, tokenize_text(vocab_, messages[i].content, false, false));
    rest.remove_prefix(at + mark.size());
  }
  append(tokens, tokenize_text(vocab_, rest, add_bos && tokens.empty(), true));
  return tokens;
}

}  // namespace hypura
