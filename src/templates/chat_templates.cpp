#include "templates/chat_templates.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>

#include "chat-auto-parser.h"
#include "chat.h"
#include "jinja/caps.h"
#include "jinja/parser.h"
#include "llama/llama_context.h"
#include "llama/tokenizer/control_text.h"
#include "support/fail.h"
#include "support/log.h"
#include "templates/go_template.h"
#include "templates/template_nodes.h"
#include "templates/template_source.h"

namespace hypura {

namespace {

// For what llama.cpp tries when it reads a template: some short conversations.
constexpr TemplateLimits kReadingLimits = {.steps = 300'000, .seconds = 3, .bytes = size_t{32} << 20};

constexpr size_t kMostVariables = 256;
constexpr size_t kLongestRow = 4096;

// common_chat_templates as chat.cpp has it, which keeps it to itself.
struct TemplatesLayout {
  bool add_bos;
  bool add_eos;
  bool has_explicit_template;
  std::unique_ptr<common_chat_template> usual;
  std::unique_ptr<common_chat_template> with_tools;
};

// Does, within bounds, what llama.cpp will do when it is given the template: reads it, and tries what it can. Gives the
// names in it.
Result<size_t> check_template(const std::string& text) {
  size_t names = 0;
  Error unreadable;
  const TemplateAllowance allowance(kReadingLimits);
  Status status = run_template([&] {
    auto source = read_template_source(text);
    if (!source) {
      unreadable = source.error();
      return;
    }
    names = source->names;
    jinja::program program = jinja::parse_from_tokens(jinja::lexer().tokenize(text));
    meter_program(program, names);
    jinja::caps_get(program);
  });
  if (status && unreadable.message.empty()) {
    return names;
  }
  const Error& error = status ? unreadable : status.error();
  return fail(error.code, "{}", error.message.substr(0, error.message.find('\n')));  // the rest shows the place
}

struct WantedTemplates {
  const llama_model* model = nullptr;
  std::string text;  // empty: the model's own
  std::string bos;
  std::string eos;
  size_t names = 0;
};

// The templates whose text was checked, their nodes counted from now on.
Result<ChatTemplatesPtr> counted_templates(const WantedTemplates& wanted) {
  ChatTemplatesPtr templates;
  Status status = run_template([&] {
    templates.reset(common_chat_templates_init(wanted.model, wanted.text, wanted.bos, wanted.eos).release());
    auto* parts = reinterpret_cast<TemplatesLayout*>(templates.get());
    if (parts->usual == nullptr || parts->usual->source() != common_chat_templates_source(templates.get())) {
      throw std::runtime_error("llama.cpp lays its templates out in a way that is not known");
    }
    for (common_chat_template* part : {parts->usual.get(), parts->with_tools.get()}) {
      if (part != nullptr) {
        meter_program(part->prog, wanted.names);
      }
    }
  });
  return status ? Result<ChatTemplatesPtr>(std::move(templates)) : propagate(status.error());
}

// Bytes that the conversation and the tools have.
size_t bytes_of(const common_chat_templates_inputs& inputs) {
  size_t bytes = 0;
  for (const common_chat_msg& message : inputs.messages) {
    bytes += message.content.size() + message.reasoning_content.size();
    for (const common_chat_tool_call& call : message.tool_calls) {
      bytes += call.arguments.size();
    }
  }
  for (const common_chat_tool& tool : inputs.tools) {
    bytes += tool.description.size() + tool.parameters.size();
  }
  return bytes;
}

// llama.cpp makes names of rules of these by a regular expression that calls itself for each character in a row that is
// no letter and no digit.
Status check_name(std::string_view name, std::string_view what) {
  size_t row = 0;
  for (const char c : name) {
    row = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' ? 0 : row + 1;
    if (row > kLongestRow) {
      return fail(ErrorCode::kUsage, "{} has more than {} characters in a row that are neither letters nor digits",
                  what, kLongestRow);
    }
  }
  return {};
}

Status check_names(const nlohmann::json& schema, const std::string& what) {
  for (const auto& [key, item] : schema.items()) {
    const bool refers = schema.is_object() && key == "$ref" && item.is_string();
    Status status = schema.is_object() ? check_name(key, "a name in " + what) : Status();
    if (status && refers) {
      status = check_name(item.get_ref<const std::string&>(), "a $ref in " + what);
    }
    if (status && item.is_structured()) {
      status = check_names(item, what);
    }
    if (!status) {
      return status;
    }
  }
  return {};
}

Status check_names(const common_chat_templates_inputs& inputs) {
  const auto parsed = [](const std::string& text) {
    return too_deep(text) ? nlohmann::json() : nlohmann::json::parse(text, nullptr, false);
  };
  for (const common_chat_tool& tool : inputs.tools) {
    if (Status status = check_name(tool.name, "a tool's name"); !status) {
      return status;
    }
    const auto parameters = parsed(tool.parameters);
    if (Status status =
            parameters.is_structured() ? check_names(parameters, "the parameters of the tool " + tool.name) : Status();
        !status) {
      return status;
    }
  }
  const auto schema = inputs.json_schema.empty() ? nlohmann::json() : parsed(inputs.json_schema);
  return schema.is_structured() ? check_names(schema, "the JSON schema") : Status();
}

// The tools as FireFunction's template, which does not know of `tools`, takes them: as text, in a variable's JSON.
std::string functions_of(const std::vector<common_chat_tool>& tools) {
  using Json = nlohmann::ordered_json;
  constexpr auto kReplace = Json::error_handler_t::replace;
  constexpr int kIndent = 4;
  Json functions = Json::array();
  for (const common_chat_tool& tool : tools) {
    functions.push_back({{"name", tool.name},
                         {"description", tool.description},
                         {"parameters", Json::parse(tool.parameters, nullptr, false)}});
  }
  return Json(functions.dump(kIndent, ' ', false, kReplace)).dump(-1, ' ', false, kReplace);
}

}  // namespace

void ChatTemplatesDeleter::operator()(common_chat_templates* templates) const {
  common_chat_templates_free(templates);
}

Result<ChatTemplatesPtr> model_templates(const llama_model& model) {
  const std::string usual = chat_template(model, false);
  const std::string with_tools = chat_template(model, true);
  std::optional<Error> error;  // of the first that does not fit
  WantedTemplates wanted;
  wanted.model = &model;
  bool usual_fits = false;
  bool with_tools_fits = false;
  const auto check = [&](const std::string& text, bool& fits) {
    if (text.empty()) {
      return;
    }
    auto names = check_template(text);
    fits = names.has_value();
    if (fits) {
      wanted.names = std::max(wanted.names, *names);
    } else {
      error = error ? error : names.error();
    }
  };
  check(usual, usual_fits);
  check(with_tools, with_tools_fits);
  if (!usual_fits && !with_tools_fits) {
    return error ? propagate(*error) : Result<ChatTemplatesPtr>(nullptr);
  }
  if (error) {
    logger().warn("a chat template of the model cannot be used: {}; using its other one", error->message);
    wanted.text = usual_fits ? usual : with_tools;
  }
  return counted_templates(wanted);
}

Result<ChatTemplatesPtr> given_templates(const llama_model& model, const std::string& text) {
  const auto jinja = template_as_jinja(text);
  if (!jinja) {
    return propagate(jinja.error());
  }
  return check_template(*jinja).and_then([&](size_t names) {
    return counted_templates({.model = &model, .text = *jinja, .bos = "", .eos = "", .names = names});
  });
}

Result<ChatTemplatesPtr> usable_template(const std::string& text) {
  return template_as_jinja(text).and_then([](const std::string& jinja) { return text_templates(jinja, "", ""); });
}

ChatTemplatesPtr chatml_templates(const llama_model& model) {
  auto templates = counted_templates({.model = &model, .text = "chatml", .bos = "", .eos = ""});
  return templates ? std::move(*templates) : ChatTemplatesPtr(common_chat_templates_init(&model, "chatml").release());
}

Result<ChatTemplatesPtr> text_templates(const std::string& text, const std::string& bos, const std::string& eos) {
  if (text.empty()) {
    return fail(ErrorCode::kUsage, "it is empty");
  }
  return check_template(text).and_then(
      [&](size_t names) { return counted_templates({.text = text, .bos = bos, .eos = eos, .names = names}); });
}

TemplateLimits template_limits(const common_chat_templates_inputs& inputs) {
  constexpr uint64_t kStepsOfByte = 20;
  constexpr double kSecondsOfByte = 60e-6;
  const size_t bytes = bytes_of(inputs);
  TemplateLimits limits;
  limits.steps += bytes * kStepsOfByte;
  limits.seconds += static_cast<double>(bytes) * kSecondsOfByte;
  limits.bytes += bytes * 4;
  return limits;
}

Result<common_chat_params> apply_templates(const common_chat_templates& templates, common_chat_templates_inputs inputs,
                                           ConversationTexts* texts) {
  if (inputs.chat_template_kwargs.size() > kMostVariables) {
    return fail(ErrorCode::kUsage, "more than {} variables are given to it", kMostVariables);
  }
  if (Status status = check_names(inputs); !status) {
    return propagate(status.error());
  }
  const TemplateAllowance allowance(template_limits(inputs));
  if (!inputs.tools.empty() && !common_chat_templates_get_caps(&templates)["supports_tools"]) {
    inputs.chat_template_kwargs.emplace("functions", functions_of(inputs.tools));
  }
  inputs.chat_template_kwargs[kAskedVariable] = "true";
  ConversationTexts own;
  common_chat_params params;
  Status status = run_template([&] {
    const NotedTexts noted(texts != nullptr ? *texts : own);
    params = common_chat_templates_apply(&templates, inputs);
  });
  return status ? Result<common_chat_params>(std::move(params)) : propagate(status.error());
}

bool has_template_handler(const common_chat_templates& templates, bool tools) {
  std::string source = common_chat_templates_source(&templates, tools ? "tool_use" : "");
  if (source.empty()) {
    source = common_chat_templates_source(&templates);
  }
  const auto read = read_template_source(source);
  bool handled = true;  // what costs more is right for all
  const TemplateAllowance allowance(kReadingLimits);
  const Status status = run_template([&] {
    common_chat_template parsed(source, "", "");
    meter_program(parsed.prog, read ? read->names : 0);
    autoparser::generation_params params;
    params.messages = common_json::parse(R"([{"role":"user","content":"Hello"}])");
    params.extra_context = common_json::object();
    params.add_generation_prompt = true;
    handled = common_chat_try_specialized_template(parsed, parsed.source(), params).has_value();
  });
  return !status || handled;
}

TemplateAbilities template_abilities(const common_chat_templates& templates) {
  const auto caps = common_chat_templates_get_caps(&templates);
  TemplateAbilities abilities{caps.at("supports_tools"), caps.at("supports_reasoning_effort")};
  if (!abilities.tools) {
    constexpr const char* kTool = "zqtoolqz";
    common_chat_templates_inputs inputs;
    inputs.messages.emplace_back().role = "user";
    inputs.messages.back().content = "Hello";
    inputs.tools = {{kTool, "Probes.", R"({"type":"object","properties":{}})"}};
    inputs.force_pure_content = true;
    const auto params = apply_templates(templates, std::move(inputs));
    abilities.tools = params && params->prompt.find(kTool) != std::string::npos;
  }
  if (!abilities.thinking) {
    bool knows = false;
    const Status status = run_template([&] { knows = common_chat_templates_support_enable_thinking(&templates); });
    abilities.thinking = status && knows;
  }
  return abilities;
}

}  // namespace hypura
