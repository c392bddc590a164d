// A chat template, Jinja or one of Ollama's, whatever its text: it is refused, or renders a short conversation, soon
// and within bounds.

#include <cstddef>
#include <cstdint>
#include <string>

#include "chat.h"
#include "llama/llama_runtime.h"
#include "templates/chat_templates.h"
#include "templates/go_template.h"

namespace hypura {
namespace {

common_chat_msg message(const char* role, const char* content) {
  common_chat_msg result;
  result.role = role;
  result.content = content;
  return result;
}

common_chat_templates_inputs conversation() {
  common_chat_templates_inputs inputs;
  inputs.messages = {message("system", "Be brief."), message("user", "Read 'a'.\n"), message("assistant", ""),
                     message("tool", "{\"b\": [1, 2]}"), message("user", "So?")};
  inputs.messages[2].tool_calls.push_back(
      {"read", R"({"path": "a", "lines": [1, {"to": 2.5}], "all": true})", "call00001"});
  inputs.messages[3].tool_call_id = "call00001";
  inputs.tools.push_back({"read", "Reads", R"({"type": "object", "properties": {"path": {"type": "string"}}})"});
  inputs.force_pure_content = true;  // no analysis, which takes long
  return inputs;
}

}  // namespace
}  // namespace hypura

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hypura::silence_common_log();
  static const common_chat_templates_inputs inputs = hypura::conversation();
  const hypura::TemplateAllowance allowance({.steps = 20'000, .seconds = 2, .bytes = size_t{16} << 20, .depth = 500});
  const auto templates =
      hypura::template_as_jinja(std::string(reinterpret_cast<const char*>(data), size))
          .and_then([](const std::string& jinja) { return hypura::text_templates(jinja, "<s>", "</s>"); });
  if (templates) {
    static_cast<void>(hypura::apply_templates(**templates, inputs));
  }
  return 0;
}
