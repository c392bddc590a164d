// llama.cpp's chat templates, kept from what a template in a file could do to this process.
#pragma once

#include <memory>
#include <string>

#include "hypura/result.h"
#include "templates/conversation_texts.h"
#include "templates/template_meter.h"

struct llama_model;
struct common_chat_params;
struct common_chat_templates;
struct common_chat_templates_inputs;

namespace hypura {

struct ChatTemplatesDeleter {
  void operator()(common_chat_templates* templates) const;
};
using ChatTemplatesPtr = std::unique_ptr<common_chat_templates, ChatTemplatesDeleter>;

// The templates that the model brings; null when it has none. One that fails or that is not within bounds is left out
// where there is another. Fails with kUsage, and the reason, where none can be used.
Result<ChatTemplatesPtr> model_templates(const llama_model& model);

// The template that is to take the place of a model's own: Jinja, or one of Ollama's. Fails with kUsage, and the
// reason.
Result<ChatTemplatesPtr> given_templates(const llama_model& model, const std::string& text);

// The same where no model is open; the tokens that begin and end its texts are left out.
Result<ChatTemplatesPtr> usable_template(const std::string& text);

// ChatML, for the model.
ChatTemplatesPtr chatml_templates(const llama_model& model);

// A template by its text, which is Jinja. Fails with kUsage, and the reason, when it cannot be used.
Result<ChatTemplatesPtr> text_templates(const std::string& text, const std::string& bos, const std::string& eos);

// What a template may use for `inputs`: more for longer ones.
TemplateLimits template_limits(const common_chat_templates_inputs& inputs);

// common_chat_templates_apply within these limits. Fails with kUsage, and the reason. The conversation is rendered only
// for those of `texts` that are missing; then they are there. They may be null.
Result<common_chat_params> apply_templates(const common_chat_templates& templates, common_chat_templates_inputs inputs,
                                           ConversationTexts* texts = nullptr);

// Whether llama.cpp has a handler of its own for the template, which may change messages before they are rendered. Any
// other it analyses each time that it is applied. `tools`: of the template that is used where there are tools.
bool has_template_handler(const common_chat_templates& templates, bool tools);

struct TemplateAbilities {
  bool tools = false;     // it tells the model of tools: in `tools`, or in `functions` as text
  bool thinking = false;  // what it writes depends on whether, or how hard, the model is to think
};
TemplateAbilities template_abilities(const common_chat_templates& templates);

}  // namespace hypura
