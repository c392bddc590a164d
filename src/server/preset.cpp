#include "server/preset.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "server/json/json.h"
#include "server/v1/answer_rules.h"
#include "support/log.h"

namespace hypura {

namespace {

Json object_of(const std::string& text) {
  if (text.empty()) {
    return Json::object();
  }
  Result<Json> json = parse_json(text);
  return json && json->is_object() ? std::move(*json) : Json::object();
}

std::vector<ChatMessage> preset_messages(const ModelPreset& preset) {
  std::vector<ChatMessage> messages;
  const Result<Json> json = preset.messages.empty() ? Json::array() : parse_json(preset.messages);
  if (!json || !json->is_array()) {
    return messages;
  }
  for (const Json& message : *json) {
    const auto text = [&](const char* key) {
      const auto found = message.is_object() ? message.find(key) : message.end();
      return found != message.end() && found->is_string() ? found->get<std::string>() : std::string();
    };
    const std::string role = text("role");
    if (role == "system" || role == "user" || role == "assistant") {
      messages.push_back({role, text("content")});
    }
  }
  return messages;
}

// Sets what the parameters say, where the request has what nobody asked for.
void apply_parameters(const Json& parameters, const ollama::Options& options, uint32_t server_context,
                      AnswerRequest& request) {
  AnswerRequest untouched;
  ollama::apply(v1::default_options(), server_context, untouched);
  const auto set = [&](const char* name, auto SamplingOptions::*field) {
    if (parameters.contains(name) && request.sampling.*field == untouched.sampling.*field) {
      request.sampling.*field = options.sampling.*field;
    }
  };
  set("top_k", &SamplingOptions::top_k);
  set("min_p", &SamplingOptions::min_p);
  set("typical_p", &SamplingOptions::typical_p);
  set("repeat_penalty", &SamplingOptions::repeat_penalty);
  set("repeat_last_n", &SamplingOptions::repeat_last_n);
  set("presence_penalty", &SamplingOptions::presence_penalty);
  set("frequency_penalty", &SamplingOptions::frequency_penalty);
  set("seed", &SamplingOptions::seed);
  if (request.stop.empty()) {
    request.stop = options.stop;
  }
  if (request.max_tokens == untouched.max_tokens && options.num_predict > 0) {
    request.max_tokens = static_cast<int32_t>(std::min<int64_t>(options.num_predict, INT32_MAX));
  }
  if (request.context_tokens == 0 && options.num_ctx > 0) {
    request.context_tokens = static_cast<uint32_t>(std::min<int64_t>(options.num_ctx, INT32_MAX));
  }
}

}  // namespace

void begin_conversation(const ServedModel& model, AnswerRequest& request) {
  if (request.prompt) {
    return;
  }
  std::vector<ChatMessage>& messages = request.messages;
  const bool has_system = !messages.empty() && messages.front().role == "system";
  if (!has_system && !model.preset.system.empty()) {
    messages.insert(messages.begin(), ChatMessage{"system", model.preset.system});
  }
  const bool begins_with_system = !messages.empty() && messages.front().role == "system";
  const std::vector<ChatMessage> before = preset_messages(model.preset);
  messages.insert(messages.begin() + (begins_with_system ? 1 : 0), before.begin(), before.end());
}

Result<ollama::Options> options_over(const ServedModel& model, const Json* given) {
  Json options = object_of(model.preset.parameters);
  if (given != nullptr) {
    for (const auto& [name, value] : given->items()) {
      if (!value.is_null()) {
        options[name] = value;
      }
    }
  }
  return ollama::read_options(&options);
}

void begin_with(const ServedModel& model, uint32_t server_context, AnswerRequest& request) {
  begin_conversation(model, request);
  const auto options = options_over(model, nullptr);
  if (!options) {
    logger().warn("msg=parameters-ignored model={} reason=\"{}\"", model.name, options.error().message);
    return;
  }
  apply_parameters(object_of(model.preset.parameters), *options, server_context, request);
}

void begin_with(const ServedModel& model, uint32_t server_context, AnswerJob& job) {
  begin_with(model, server_context, job.request);
  for (AnswerRequest& request : job.more) {
    begin_with(model, server_context, request);
  }
}

}  // namespace hypura
