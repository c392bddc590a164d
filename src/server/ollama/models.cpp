// What models there are: GET /api/version, /api/tags, /api/ps, POST /api/show
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "server/json/time.h"
#include "server/library.h"
#include "server/ollama/replies.h"
#include "server/ollama/requests.h"
#include "server/ollama/routes.h"
#include "support/log.h"

namespace hypura::ollama {

namespace {

// Clients compare it as a semantic version, to learn what the API has: this is the Ollama whose API is answered.
constexpr const char* kOllamaVersion = "0.33.0";

Json details_json(const ServedModel& model) {
  const ModelCard& card = model.card;
  return {{"parent_model", model.from},
          {"format", "gguf"},
          {"family", card.architecture},
          {"families", Json::array({card.architecture})},
          {"parameter_size", card.parameter_size},
          {"quantization_level", card.quantization}};
}

Json capabilities_json(const ModelCard& card) {
  Json names = Json::array({"completion"});
  if (card.tools) {
    names.push_back("tools");
  }
  if (card.thinking) {
    names.push_back("thinking");
  }
  if (card.embeddings) {
    names.push_back("embedding");
  }
  return names;
}

Json model_info(const ModelCard& card, bool verbose) {
  Json info = Json::object();
  if (Result<Json> metadata = parse_json(card.metadata); metadata && metadata->is_object()) {
    info = std::move(*metadata);
  } else {
    logger().warn("the metadata of {} is not a JSON object", card.name);
  }
  info.erase("general.name");
  info.erase("tokenizer.chat_template");
  for (Json& value : info) {
    if (!verbose && value.is_array() && value.size() > kLongestListed) {
      value = Json::array();
    }
  }
  // Clients count on these.
  info["general.architecture"] = card.architecture;
  info["general.parameter_count"] = card.parameters;
  info[card.architecture + ".context_length"] = card.trained_context;
  info[card.architecture + ".embedding_length"] = card.embedding_length;
  return info;
}

// A Modelfile's lines: "temperature                    0.7", one for each value.
std::string parameters_text(const std::string& parameters) {
  const Result<Json> json = parameters.empty() ? Json::object() : parse_json(parameters);
  std::string text;
  if (!json || !json->is_object()) {
    return text;
  }
  for (const auto& [name, value] : json->items()) {
    for (const Json& one : value.is_array() ? value : Json::array({value})) {
      text += fmt::format("{}{:<30} {}", text.empty() ? "" : "\n", name, dump_json(one));
    }
  }
  return text;
}

std::string modelfile_text(const ServedModel& model, const std::string& system) {
  constexpr const char* kThreeQuotes = "\"\"\"";
  std::string text = fmt::format("FROM {}\n", model.from.empty() ? model.name : model.from);
  if (!model.preset.chat_template.empty()) {
    text += fmt::format("TEMPLATE {}{}{}\n", kThreeQuotes, model.preset.chat_template, kThreeQuotes);
  }
  if (!system.empty()) {
    text += fmt::format("SYSTEM {}{}{}\n", kThreeQuotes, system, kThreeQuotes);
  }
  std::string parameters = parameters_text(model.preset.parameters);
  for (size_t at = 0; at < parameters.size();) {
    const size_t end = std::min(parameters.find('\n', at), parameters.size());
    text += fmt::format("PARAMETER {}\n", parameters.substr(at, end - at));
    at = end + 1;
  }
  return text;
}

// All of it again, for whom it is not kept.
Result<ModelPtr> whole_model(const ModelPtr& model) {
  const std::string& given = model->preset.chat_template;
  auto read = read_model_card(model->file);
  if (read && !given.empty()) {
    read = card_with_template(std::move(*read), given);
  }
  return std::move(read).map([&](ModelCard&& card) {
    auto whole = std::make_shared<ServedModel>(*model);
    whole->card = std::move(card);
    return ModelPtr(std::move(whole));
  });
}

Json show_json(const ServedModel& model, bool verbose, const std::string& asked_system) {
  const ModelCard& card = model.card;
  const std::string& system = asked_system.empty() ? model.preset.system : asked_system;
  Json json = Json::object();
  if (!model.license.empty()) {
    json["license"] = model.license;
  }
  json["modelfile"] = modelfile_text(model, system);
  if (!model.preset.parameters.empty()) {
    json["parameters"] = parameters_text(model.preset.parameters);
  }
  if (const Result<Json> messages = parse_json(model.preset.messages); messages && messages->is_array()) {
    json["messages"] = *messages;
  }
  if (!card.chat_template.empty()) {
    json["template"] = card.chat_template;
  }
  if (!system.empty()) {
    json["system"] = system;
  }
  json["details"] = details_json(model);
  json["model_info"] = model_info(card, verbose);
  json["capabilities"] = capabilities_json(card);
  json["modified_at"] = rfc3339(card.modified);
  return json;
}

Json named_json(const ServedModel& model) {
  return {{"name", model.name}, {"model", model.name}};
}

// A model that never goes is said to go in the last year that fits.
std::string expires(const LoadedModel& loaded) {
  constexpr Nanoseconds kLast{std::numeric_limits<int64_t>::max()};
  constexpr std::chrono::system_clock::time_point kNever{
      std::chrono::duration_cast<std::chrono::system_clock::duration>(kLast)};
  return rfc3339(loaded.expires.value_or(kNever));
}

}  // namespace

void handle_version(const ApiContext& /*context*/, const std::shared_ptr<Exchange>& exchange) {
  exchange->respond(json_reply({{"version", kOllamaVersion}, {"hypura", HYPURA_VERSION}}));
}

void handle_tags(const ApiContext& context, const std::shared_ptr<Exchange>& exchange) {
  refresh(context, [&context, exchange] {
    Json models = Json::array();
    for (const ModelPtr& model : context.host.models()) {
      Json json = named_json(*model);
      json["modified_at"] = rfc3339(model->card.modified);
      json["size"] = model->card.bytes;
      json["digest"] = model->digest;
      json["details"] = details_json(*model);
      json["details"]["context_length"] = model->card.trained_context;
      json["details"]["embedding_length"] = model->card.embedding_length;
      json["capabilities"] = capabilities_json(model->card);
      models.push_back(std::move(json));
    }
    exchange->respond(json_reply({{"models", std::move(models)}}));
  });
}

void handle_ps(const ApiContext& context, const std::shared_ptr<Exchange>& exchange) {
  Json models = Json::array();
  for (const LoadedModel& loaded : context.host.loaded()) {
    Json json = named_json(*loaded.model);
    json["size"] = loaded.memory;
    json["digest"] = loaded.model->digest;
    json["details"] = details_json(*loaded.model);
    json["expires_at"] = expires(loaded);
    json["size_vram"] = loaded.gpu_memory;
    json["context_length"] = loaded.context;
    models.push_back(std::move(json));
  }
  exchange->respond(json_reply({{"models", std::move(models)}}));
}

void handle_show(const ApiContext& context, const std::shared_ptr<Exchange>& exchange) {
  const std::optional<Json> body = read_body(*exchange);
  if (!body) {
    return;
  }
  Fields in(*body, "ShowRequest");
  const std::string name = model_field(in);
  const bool verbose = in.boolean("verbose").value_or(false);
  const std::string system = in.text("system").value_or("");
  in.object("options");
  if (!in.status()) {
    exchange->respond(error_reply(in.status().error()));
    return;
  }
  if (name.empty()) {
    exchange->respond(error_reply(400, "model is required"));
    return;
  }
  find_soon(context, name, [exchange, name, verbose, system](const ModelPtr& model) {
    if (model == nullptr) {
      exchange->respond(not_found(name));
      return;
    }
    const Result<ModelPtr> whole = verbose && model->shortened ? whole_model(model) : Result<ModelPtr>(model);
    exchange->respond(whole ? json_reply(show_json(**whole, verbose, system)) : error_reply(whole.error()));
  });
}

}  // namespace hypura::ollama
