// A conversation as a prompt, and its answer's form: what the grammar must hold it to, how it is taken apart.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "chat/answer_form.h"
#include "chat/answer_shape.h"
#include "chat/chat_prompt.h"
#include "hypura/generator.h"
#include "llama/tokenizer/text_bound.h"

struct common_chat_templates_inputs;

namespace hypura {

class ToolSchemas;

struct RenderedChat {
  std::string text;
  std::vector<int32_t> tokens;
  uint64_t estimate = 0;  // not 0: about so many tokens, far more than were wanted; not tokenised
  AnswerBeginning answer;
};

// Tokens beyond which a text need not be tokenised.
struct TextLimit {
  const TextBound& bound;
  size_t most = 0;
};

// Thread-safe. Must not outlive `prompt`.
class ChatFormat {
 public:
  explicit ChatFormat(const ChatPrompt& prompt) : prompt_(prompt) {}

  // The prompt for `messages`, with the rest of `request`. A last message of the assistant's is to be continued. Text
  // of messages and tools is never read as control tokens. Fails with kUsage when the template refuses them, a role is
  // not known, or JSON is none. `limit` may be null.
  Result<RenderedChat> render(const AnswerRequest& request, const std::vector<ChatMessage>& messages,
                              const TextLimit* limit = nullptr) const;

  // Its text alone. Fails as render.
  Result<std::string> text(const AnswerRequest& request, const std::vector<ChatMessage>& messages) const;

  // The form of the answer to `request`. Fails as render, and when its schema cannot be followed. Where the prompt was
  // rendered, `beginning` is what that gave: then nothing is rendered again. It may be null.
  Result<ChatForm> form(const AnswerRequest& request, const AnswerBeginning* beginning = nullptr) const;

 private:
  Result<PromptText> masked_text(const AnswerRequest& request, const std::vector<ChatMessage>& messages,
                                 MaskedText& masked) const;
  Result<common_chat_templates_inputs> inputs(const AnswerRequest& request, const std::vector<ChatMessage>& messages,
                                              MaskedText* masked) const;
  Result<ChatForm> form_with_tools(const AnswerRequest& request, common_chat_templates_inputs inputs, bool flat,
                                   const AnswerBeginning* beginning) const;
  // Found when it is first asked for.
  const AnswerShape& shape() const;

  const ChatPrompt& prompt_;
  mutable std::once_flag shape_found_;
  mutable AnswerShape shape_;
};

}  // namespace hypura
