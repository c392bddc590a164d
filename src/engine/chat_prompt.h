// A conversation as the tokens that the model expects, by llama.cpp's chat templates.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/chat_templates.h"
#include "engine/control_text.h"
#include "hypura/engine.h"
#include "hypura/result.h"

struct llama_model;
struct common_chat_params;
struct common_chat_templates;
struct common_chat_templates_inputs;

namespace hypura {

// Thread-safe after construction. Must not outlive the model.
class ChatPrompt {
 public:
  explicit ChatPrompt(const llama_model* model);
  ~ChatPrompt();

  // Whether the model brings its own template. Without one ChatML is used.
  bool explicit_template() const { return explicit_; }

  // Tokens of the conversation up to where the assistant's next message begins. Text in messages is never read as
  // control tokens: where it contains the spelling of one, that is tokenised apart from the text around it. Fails with
  // kUsage when the template refuses the messages.
  Result<std::vector<int32_t>> tokens(const std::vector<ChatMessage>& messages) const;

  // What the template makes of `inputs`. Fails with kUsage when it refuses them.
  Result<common_chat_params> apply(const common_chat_templates_inputs& inputs) const;

  // For what does more with the templates and the vocabulary.
  const common_chat_templates& templates() const { return *templates_; }
  const ControlText& control() const { return control_; }

 private:
  ControlText control_;
  ChatTemplatesPtr templates_;
  bool explicit_ = false;
};

}  // namespace hypura
