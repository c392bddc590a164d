// A conversation as a prompt, and its answer's form: what the grammar must hold it to, how it is taken apart.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/answer_parser.h"
#include "engine/answer_sampler.h"
#include "engine/chat_prompt.h"
#include "hypura/serving.h"

struct common_chat_params;
struct common_chat_templates_inputs;

namespace hypura {

class ToolSchemas;

struct RenderedChat {
  std::string text;
  std::vector<int32_t> tokens;
};

// The form of an answer to a conversation.
struct ChatForm {
  Grammar grammar;
  std::vector<std::string> stops;
  std::vector<int32_t> shown;  // control tokens whose spelling the parser wants to see
  std::unique_ptr<AnswerParser> parser;
};

// Thread-safe. Must not outlive `prompt`.
class ChatFormat {
 public:
  explicit ChatFormat(const ChatPrompt& prompt) : prompt_(prompt) {}

  // The prompt for `messages`, with the rest of `request`. A last message of the assistant's is to be continued. Text
  // of messages and tools is never read as control tokens. Fails with kUsage when the template refuses them, a role is
  // not known, or JSON is none.
  Result<RenderedChat> render(const AnswerRequest& request, const std::vector<ConversationMessage>& messages) const;

  // The form of the answer to `request`. Fails as render, and when its schema cannot be followed.
  Result<ChatForm> form(const AnswerRequest& request) const;

 private:
  Result<common_chat_templates_inputs> inputs(const AnswerRequest& request,
                                              const std::vector<ConversationMessage>& messages,
                                              MaskedText* masked) const;
  Result<common_chat_params> shown(common_chat_templates_inputs inputs) const;
  Result<common_chat_params> followed(common_chat_templates_inputs inputs, ToolSchemas& schemas) const;
  Grammar grammar_of(const common_chat_params& params, std::vector<int32_t>& shown) const;
  std::vector<int32_t> begun(const std::string& beginning) const;

  const ChatPrompt& prompt_;
};

}  // namespace hypura
