#include "engine/template_handler.h"

#include "chat-auto-parser.h"
#include "chat.h"

namespace hypura {

bool has_template_handler(const common_chat_templates& templates, bool tools) {
  try {  // the template engine reports by exceptions
    std::string source = common_chat_templates_source(&templates, tools ? "tool_use" : "");
    if (source.empty()) {
      source = common_chat_templates_source(&templates);
    }
    const common_chat_template parsed(source, "", "");
    autoparser::generation_params params;
    params.messages = common_json::parse(R"([{"role":"user","content":"Hello"}])");
    params.extra_context = common_json::object();
    params.add_generation_prompt = true;
    return common_chat_try_specialized_template(parsed, parsed.source(), params).has_value();
  } catch (...) {
    return true;  // what costs more is right for all
  }
}

}  // namespace hypura
