// A conversation as the tokens that the model expects, by llama.cpp's chat templates.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "chat/call_text.h"
#include "chat/message_shapes.h"
#include "chat/thinking_form.h"
#include "hypura/engine.h"
#include "hypura/result.h"
#include "llama/tokenizer/control_text.h"
#include "templates/chat_templates.h"

struct llama_model;
struct common_chat_params;
struct common_chat_templates;
struct common_chat_templates_inputs;

namespace hypura {

// How an answer begins after a prompt: what its form needs of the prompt, so that the template need not be rendered for
// it again.
struct AnswerBeginning {
  ConversationTexts ends;  // those of the prompt, and of it without how the answer begins
  // Of a message that is gone on with, as the template was given it.
  std::string content;
  std::string thinking;
};

struct PromptText {
  std::string text;
  AnswerBeginning answer;
};

// Thread-safe after construction. Must not outlive the model.
class ChatPrompt {
 public:
  // `given`: the template in place of the model's own, Jinja or one of Ollama's; empty: none.
  explicit ChatPrompt(const llama_model& model, const std::string& given = {});
  ~ChatPrompt();

  // Whether a template is given or the model brings its own. Without one ChatML is used.
  bool explicit_template() const { return explicit_; }

  // Tokens of the conversation up to where the assistant's next message begins. Text in messages is never read as
  // control tokens: where it contains the spelling of one, that is tokenised apart from the text around it. Fails with
  // kUsage when the template refuses the messages.
  Result<std::vector<int32_t>> tokens(const std::vector<ChatMessage>& messages) const;

  // What the template makes of `inputs`, whose messages are first brought into the form that it takes. Fails with
  // kUsage when it refuses them all the same: the error names the message, by its number in `inputs`, and the
  // template's rule.
  //
  // With an `answer` that render() gave, the messages are not rendered, and the prompt in what is returned is not
  // theirs.
  Result<common_chat_params> apply(const common_chat_templates_inputs& inputs,
                                   const AnswerBeginning* answer = nullptr) const;

  // The same, but the prompt alone, which costs a fraction of the time with most templates.
  Result<PromptText> render(const common_chat_templates_inputs& inputs) const;

  // Whether the template takes only ids of calls that have nine letters or digits.
  bool wants_nine_ids(bool tools) const;

  const ThinkingForm& thinking() const { return thinking_; }

  // For what does more with the templates and the vocabulary.
  const common_chat_templates& templates() const { return *templates_; }
  const ControlText& control() const { return control_; }

 private:
  enum class Wanted { kPrompt, kAll };

  Result<common_chat_params> arranged(const common_chat_templates_inputs& inputs, Wanted wanted,
                                      AnswerBeginning* answer = nullptr) const;
  Result<common_chat_params> begun(const common_chat_templates_inputs& inputs, Wanted wanted,
                                   const AnswerBeginning& answer) const;
  Result<common_chat_params> as_it_is(const common_chat_templates_inputs& inputs, Wanted wanted,
                                      ConversationTexts& texts) const;
  std::optional<std::string> tried(const common_chat_templates_inputs& inputs) const;
  bool has_own_handler(bool tools) const;
  const CallWriter& call_writer(bool tools) const;
  Error refusal(const common_chat_templates_inputs& inputs, const Error& error) const;

  ControlText control_;
  ChatTemplatesPtr templates_;
  bool explicit_ = false;
  std::array<MessageShapes, 2> shapes_;  // without and with tools, for which a model may have another template
  ThinkingForm thinking_;
  mutable std::array<std::once_flag, 2> handler_once_;
  mutable std::array<bool, 2> own_handler_{};
  mutable std::once_flag writer_once_;
  mutable CallWriter writer_;  // with tools
};

}  // namespace hypura
