// A conversation as the tokens that the model expects, by llama.cpp's chat templates.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "hypura/engine.h"
#include "hypura/result.h"

struct llama_model;
struct llama_vocab;
struct common_chat_templates;

namespace hypura {

// Token ids of `text`. Control tokens written in it are recognised only when `parse_special`.
std::vector<int32_t> tokenize_text(const llama_vocab* vocab, std::string_view text, bool add_bos, bool parse_special);

// Thread-safe after construction. Must not outlive the model.
class ChatPrompt {
 public:
  explicit ChatPrompt(const llama_model* model);
  ~ChatPrompt();

  // Whether the model brings its own template. Without one ChatML is used.
  bool explicit_template() const;

  // Tokens of the conversation up to where the assistant's next message begins. Text in messages is never read as
  // control tokens: where a message contains the spelling of one, it is tokenised apart from the template around it.
  // Fails with kUsage when the template refuses the messages.
  Result<std::vector<int32_t>> tokens(const std::vector<ChatMessage>& messages) const;

 private:
  struct TemplatesDeleter {
    void operator()(common_chat_templates* templates) const;
  };

  Result<std::string> apply(const std::vector<ChatMessage>& messages) const;

  const llama_vocab* vocab_;
  std::unique_ptr<common_chat_templates, TemplatesDeleter> templates_;
};

}  // namespace hypura
