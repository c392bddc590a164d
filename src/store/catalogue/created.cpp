#include "store/catalogue/created.h"

#include <algorithm>
#include <optional>

#include "store/catalogue/small_json.h"
#include "support/ascii.h"
#include "support/atomic_file.h"
#include "support/fail.h"
#include "support/fnv.h"
#include "support/units.h"

namespace hypura {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr int kCreatedVersion = 1;

fs::path created_in(const fs::path& data) {
  return data / "created";
}

fs::path file_of_created(const fs::path& data, const std::string& name) {
  return created_in(data) / fmt::format("{:016x}.json", fnv1a(ascii_lower(name)));
}

std::optional<CreatedModel> read_created(const fs::path& file, std::vector<std::string>& problems) {
  const auto json = read_small_json(file);
  if (!json) {
    problems.push_back(json.error().message);
    return std::nullopt;
  }
  CreatedModel model;
  model.name = json_text(*json, "name");
  model.from = json_text(*json, "from");
  model.file = json_text(*json, "file");
  model.license = json_text(*json, "license");
  model.preset.system = json_text(*json, "system");
  model.preset.chat_template = json_text(*json, "template");
  if (const auto parameters = json->find("parameters"); parameters != json->end() && parameters->is_object()) {
    model.preset.parameters = parameters->dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  if (const Json& messages = json_array(*json, "messages"); !messages.empty()) {
    model.preset.messages = messages.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  if (!created_name(model.name) || model.from.empty()) {
    problems.push_back(fmt::format("{}: is no created model", file.string()));
    return std::nullopt;
  }
  return model;
}

// The value of a text that is JSON; null for an empty one.
Json value_of(const std::string& text) {
  Json json = text.empty() ? Json() : Json::parse(text, nullptr, false);
  return json.is_discarded() ? Json() : json;
}

}  // namespace

Result<std::string> created_name(std::string_view text) {
  const auto name = read_model_name(text, FilesAs::kErrors);
  if (!name) {
    return propagate(name.error());
  }
  const auto* own = std::get_if<OllamaName>(&name->readings.back());
  if (own == nullptr || own->host != kOllamaRegistry || text.starts_with("http")) {
    return fail(ErrorCode::kUsage,
                "'{}' is the name of something to fetch; a model made here is called NAME or NAME:TAG", text);
  }
  return std::string(text) + (text.find(':') == std::string_view::npos ? ":latest" : "");
}

ModelPreset overlaid(const ModelPreset& under, const ModelPreset& over) {
  ModelPreset both;
  both.system = over.system.empty() ? under.system : over.system;
  both.chat_template = over.chat_template.empty() ? under.chat_template : over.chat_template;
  both.messages = over.messages.empty() ? under.messages : over.messages;
  Json parameters = value_of(under.parameters);
  if (const Json above = value_of(over.parameters); above.is_object()) {
    parameters = parameters.is_object() ? std::move(parameters) : Json::object();
    parameters.update(above);
  }
  if (parameters.is_object() && !parameters.empty()) {
    both.parameters = parameters.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  return both;
}

Status save_created(const fs::path& data, const CreatedModel& model) {
  Json json = {{"version", kCreatedVersion}, {"name", model.name}, {"from", model.from}, {"file", model.file.string()}};
  const auto add = [&](const char* key, Json value) {
    if (!value.empty()) {
      json[key] = std::move(value);
    }
  };
  add("parameters", value_of(model.preset.parameters));
  add("messages", value_of(model.preset.messages));
  if (!model.preset.system.empty()) {
    json["system"] = model.preset.system;
  }
  if (!model.preset.chat_template.empty()) {
    json["template"] = model.preset.chat_template;
  }
  if (!model.license.empty()) {
    json["license"] = model.license;
  }
  const std::string text = json_dump(json);
  if (text.size() > kMostSmallFile) {
    return fail(ErrorCode::kUsage, "{} would begin with {} of text and parameters; the most is {}", model.name,
                format_bytes(text.size()), format_bytes(kMostSmallFile));
  }
  return write_file_atomically(file_of_created(data, model.name), text);
}

std::vector<CreatedModel> created_models(const fs::path& data, std::vector<std::string>& problems) {
  std::vector<CreatedModel> models;
  std::error_code error;
  for (fs::directory_iterator it(created_in(data), error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == ".json") {
      if (auto model = read_created(it->path(), problems)) {
        models.push_back(std::move(*model));
      }
    }
  }
  std::ranges::sort(models, {}, &CreatedModel::name);
  return models;
}

Status remove_created(const fs::path& data, const std::string& name) {
  const fs::path file = file_of_created(data, name);
  std::error_code error;
  fs::remove(file, error);
  return error ? Status(fail(ErrorCode::kIo, "{} cannot be removed: {}", file.string(), error.message())) : Status();
}

}  // namespace hypura
