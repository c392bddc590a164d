// Which templates llama.cpp knows, and which it has to analyse.
#pragma once

struct common_chat_templates;

namespace hypura {

// Whether llama.cpp has a handler of its own for the template, which may change messages before they are rendered. Any
// other it analyses each time that it is applied. `tools`: of the template that is used where there are tools.
bool has_template_handler(const common_chat_templates& templates, bool tools);

}  // namespace hypura
