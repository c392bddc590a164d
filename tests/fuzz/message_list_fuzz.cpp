// Message lists through the forms that chat templates take: each list of known roles is rendered by each template, with
// what its messages say.
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/chat_format.h"
#include "llama.h"
#include "llama/llama_context.h"
#include "llama/llama_runtime.h"
#include "llama/model_with_template_for_test.h"
#include "make_model/make_model.h"

namespace hypura {
namespace {

// Strict ones, each in another way; every one has its user and its assistant in turns, or wants something else.
const std::array<std::string, 4>& template_sources() {
  static const std::string kTurns =
      "{%- set ns = namespace(turn=0) -%}{%- for m in messages -%}"
      "{%- if m.role == 'system' -%}{%- if not loop.first -%}{{ raise_exception('A system comes first.') }}{%- endif "
      "-%}"
      "{{ '[S]' + m.content }}{%- elif m.role == 'user' or (m.role == 'assistant' and not m.tool_calls) -%}"
      "{%- if (m.role == 'user') != (ns.turn % 2 == 0) -%}{{ raise_exception('Roles must alternate.') }}{%- endif -%}"
      "{%- set ns.turn = ns.turn + 1 -%}{{ '[' + m.role + ']' + m.content }}"
      "{%- elif m.role == 'assistant' -%}{%- for c in m.tool_calls -%}"
      "{%- if c.id|length != 9 -%}{{ raise_exception('Ids have nine letters.') }}{%- endif -%}"
      "{{ '[C]' + c.function.name + (c.function.arguments|tojson) }}{%- endfor -%}"
      "{%- else -%}{{ '[T]' + m.content }}{%- endif -%}{%- endfor -%}";
  static const std::string kTwo =
      "{%- for m in messages -%}{%- if (m.role == 'user') != (loop.index0 % 2 == 0) -%}"
      "{{ raise_exception('Roles must alternate.') }}{%- endif -%}{{ '[' + m.role + ']' + m.content }}{%- endfor -%}";
  static const std::string kQuery =
      "{%- set ns = namespace(user=false) -%}{%- for m in messages -%}"
      "{%- if m.role == 'user' -%}{%- set ns.user = true -%}{%- endif -%}"
      "{%- if m.tool_calls and m.tool_calls|length > 1 -%}{{ raise_exception('One call at once.') }}{%- endif -%}"
      "{{ '[' + m.role + ']' + m.content }}"
      "{%- for c in m.tool_calls or [] -%}{{ c.function.name + (c.function.arguments|tojson) }}{%- endfor -%}"
      "{%- endfor -%}{%- if not ns.user -%}{{ raise_exception('No user query.') }}{%- endif -%}";
  static const std::array<std::string, 4> kSources = {kTurns, kTwo, kQuery, kThinkingTemplate};
  return kSources;
}

[[noreturn]] void stop_with(const char* what, const std::string& detail) {
  std::fprintf(stderr, "%s: %s\n", what, detail.c_str());
  std::abort();
}

// A vocabulary with one of the templates.
struct Templated {
  LlamaModelPtr model;
  std::unique_ptr<ChatPrompt> prompt;
  std::unique_ptr<ChatFormat> format;
};

std::vector<Templated> make_models() {
  std::string name = (std::filesystem::temp_directory_path() / "hypura-fuzz-XXXXXX").string();
  if (!init_llama() || mkdtemp(name.data()) == nullptr) {
    stop_with("no temporary folder", name);
  }
  const std::filesystem::path folder = name;
  ModelSpec spec;
  spec.output = folder / "model.gguf";
  spec.layers = 1;
  const auto model = make_model(spec);
  if (!model) {
    stop_with("no model", model.error().message);
  }
  std::vector<Templated> models;
  for (const std::string& source : template_sources()) {
    const auto path = folder / "templated.gguf";
    write_with_template(*model, path, source, false);
    llama_model_params params = llama_model_default_params();
    params.vocab_only = true;
    Templated& made = models.emplace_back();
    made.model.reset(llama_model_load_from_file(path.c_str(), params));
    if (made.model == nullptr) {
      stop_with("not loaded", source);
    }
    made.prompt = std::make_unique<ChatPrompt>(*made.model);
    made.format = std::make_unique<ChatFormat>(*made.prompt);
  }
  std::filesystem::remove_all(folder);
  return models;
}

// Messages from bytes: a line for each; its first byte says what it is, the rest is what it says.
std::vector<ChatMessage> read_messages(std::string_view input) {
  constexpr size_t kMost = 40;
  std::vector<ChatMessage> messages;
  while (!input.empty() && messages.size() < kMost) {
    const size_t end = std::min(input.find('\n'), input.size());
    const auto kind = static_cast<uint8_t>(input[0]);
    const std::string text(input.substr(std::min<size_t>(1, end), end == 0 ? 0 : end - 1));
    input.remove_prefix(std::min(end + 1, input.size()));
    static constexpr std::array<const char*, 4> kRoles = {"user", "assistant", "tool", "system"};
    ChatMessage& message = messages.emplace_back();
    message.role = kRoles[kind % kRoles.size()];
    message.content = text;
    if (message.role == "assistant") {
      for (int i = (kind >> 2U) % 4; i > 0; --i) {
        message.tool_calls.push_back({text.substr(0, static_cast<size_t>(i)), "f", R"({"word":"x"})"});
      }
      message.thinking = (kind & 0x40U) != 0 ? "Hm." : "";
    } else if (message.role == "tool") {
      message.tool_call_id = text.substr(0, (kind >> 2U) % 4);
    }
  }
  return messages;
}

void try_one(std::string_view input) {
  static const std::vector<Templated> kModels = make_models();
  AnswerRequest request;
  request.messages = read_messages(input);
  if (request.messages.empty()) {
    return;
  }
  if (static_cast<uint8_t>(input[0]) >= 0x80U) {
    request.tools = {{"f", "", R"({"type":"object","properties":{"word":{"type":"string"}}})"}};
  }
  for (const Templated& model : kModels) {
    const auto rendered = model.format->text(request, request.messages);
    if (!rendered) {
      stop_with("refused", rendered.error().message);
    }
  }
}

}  // namespace
}  // namespace hypura

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hypura::try_one({reinterpret_cast<const char*>(data), size});
  return 0;
}
