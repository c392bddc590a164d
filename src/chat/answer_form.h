// The form of an answer to a conversation: what its text is held to, and how it is taken apart.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "chat/answer_shape.h"
#include "chat/chat_prompt.h"
#include "hypura/generator.h"
#include "output/answer_parser.h"
#include "output/answer_rules.h"
#include "schema/tool_schemas.h"

struct common_chat_params;
struct common_chat_templates_inputs;

namespace hypura {

struct ChatForm {
  AnswerRules rules;
  std::vector<std::string> stops;
  std::vector<int32_t> shown;  // control tokens whose spelling the parser wants to see
  std::unique_ptr<AnswerParser> parser;
};

// Makes the form of one answer. A model's chat template says how thoughts, calls and content are marked; that an answer
// is a call, JSON of a schema, or either, is ours: llama.cpp's own handling of schemas and of forced calls differs from
// template to template, and knows no schema beside tools. It serves only where a template's marks cannot be told.
class FormMaker {
 public:
  // The references must outlive the object. `inputs` are the conversation, the tools and how to think, not what the
  // answer must be; the parameters of their tools are those that `tools` gave. `beginning` is the prompt's, where that
  // was rendered already, else null.
  FormMaker(const ChatPrompt& prompt, const AnswerShape& shape, const common_chat_templates_inputs& inputs,
            const ToolSchemas& tools, const AnswerBeginning* beginning);

  // Fails with kUsage when the template refuses the conversation, when the schema cannot be followed, and when the
  // template has no form for what `request` wants.
  Result<ChatForm> make(const AnswerRequest& request);

 private:
  Status hold_to(const AnswerRequest& request, const std::string& schema);
  Status hold_to_calls(const std::string& schema);
  Status hold_to_known_calls();
  Status hold_to_calls_as_llama();
  void hold_to_content(const std::string& rules);
  Status hold_as_llama(const common_chat_templates_inputs& inputs, const std::string& schema);
  void wait_for_calls();
  void forbid_calls();
  void look_at_thoughts(const std::string& beginning);
  Status set_parser(const common_chat_params& params);
  void show(const common_chat_params& params);

  const ChatPrompt& prompt_;
  const AnswerShape& shape_;
  const common_chat_templates_inputs& inputs_;
  const ToolSchemas& tools_;
  const AnswerBeginning* beginning_;
  std::unique_ptr<common_chat_params> with_calls_;  // what the template makes of tools that may be called; or none
  std::unique_ptr<common_chat_params> plain_;       // of tools that may not
  ChatForm form_;
};

}  // namespace hypura
