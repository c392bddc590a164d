#include "server/model_shelf.h"

#include <algorithm>
#include <set>
#include <utility>

#include "server/json/json.h"
#include "server/model_host_names.h"
#include "server/server_text.h"
#include "support/fail.h"
#include "support/log.h"
#include "support/printable.h"

namespace hypura {

FileStamp stamp_of(const std::filesystem::path& file) {
  std::error_code error;
  FileStamp stamp;
  stamp.changed = std::filesystem::last_write_time(file, error);
  stamp.bytes = std::filesystem::file_size(file, error);
  return stamp;
}

std::string logged_reason(const Error& error) {
  std::string reason = printable(error.message.substr(0, error.message.find('\n')));
  std::replace(reason.begin(), reason.end(), '"', '\'');
  return fmt::format(" reason=\"{}\"", reason);
}

namespace {

// Text that is no JSON object stays: whoever reads it will see.
std::string without_long_arrays(std::string metadata) {
  Result<Json> json = parse_json(metadata);
  if (!json || !json->is_object()) {
    return metadata;
  }
  for (Json& value : *json) {
    if (value.is_array() && value.size() > kLongestListed) {
      value = Json::array();
    }
  }
  return dump_json(*json);
}

}  // namespace

Result<ModelPtr> make_served_model(const OfferedModel& offered, const ReadCard& read, Metadata metadata) {
  auto card = read(offered.file);
  if (card && !offered.preset.chat_template.empty()) {
    card = card_with_template(std::move(*card), offered.preset.chat_template);
  }
  if (!card) {
    return propagate(card.error());
  }
  auto model = std::make_shared<ServedModel>();
  model->name = offered.name.empty() ? served_name(*card) : offered.name;
  model->digest = model_digest(*card, offered.file);
  model->card = std::move(*card);
  if (metadata == Metadata::kShortened) {
    model->card.metadata = without_long_arrays(std::move(model->card.metadata));
    model->shortened = true;
  }
  model->file = offered.file;
  model->preset = offered.preset;
  model->license = offered.license;
  model->from = offered.from;
  return model;
}

bool opened_alike(const ServedModel& a, const ServedModel& b) {
  return &a == &b || (a.file == b.file && a.digest == b.digest && a.preset.chat_template == b.preset.chat_template);
}

Result<std::vector<ModelPtr>> read_named_models(const std::vector<OfferedModel>& named, const ReadCard& read) {
  std::vector<ModelPtr> models;
  std::optional<Error> unreadable;
  for (const OfferedModel& offered : named) {
    auto model = make_served_model(offered, read, Metadata::kWhole);
    if (!model) {
      logger().warn("msg=left-out model={}{}", printable(offered.file.filename().string()),
                    logged_reason(model.error()));
      unreadable = unreadable.value_or(model.error());
      continue;
    }
    const auto same = std::find_if(models.begin(), models.end(), [&](const ModelPtr& other) {
      return equal_ignoring_case(other->name, (*model)->name);
    });
    if (same != models.end()) {
      return fail(ErrorCode::kUsage, "{} and {} would both be served as {}; rename one of the files",
                  (*same)->file.string(), offered.file.string(), (*model)->name);
    }
    models.push_back(std::move(*model));
  }
  if (models.empty()) {
    return propagate(unreadable.value_or(Error{ErrorCode::kUsage, "no model is named"}));
  }
  return models;
}

ModelPtr ModelShelf::known_or_read(const OfferedModel& offered, std::map<std::string, Known>& now) {
  const std::string key = offered.name + "\n" + offered.file.string();
  const FileStamp stamp = stamp_of(offered.file);
  const auto before = known_.find(key);
  if (before != known_.end() && before->second.stamp == stamp) {
    if (before->second.preset == offered.preset && before->second.license == offered.license) {
      now[key] = before->second;
      return before->second.model;
    }
  }
  auto model = make_served_model(offered, read_, Metadata::kShortened);
  if (!model) {
    logger().warn("msg=left-out model={}{}", printable(offered.name), logged_reason(model.error()));
  }
  now[key] = {stamp, offered.preset, offered.license, model ? *model : nullptr};
  return now[key].model;
}

std::vector<ModelPtr> ModelShelf::fill(std::vector<ModelPtr> models, const std::vector<OfferedModel>& offered) {
  std::set<std::string> names;
  for (const ModelPtr& model : models) {
    names.insert(ascii_lower(model->name));
  }
  std::map<std::string, Known> now;
  for (const OfferedModel& one : offered) {
    if (names.contains(ascii_lower(one.name))) {
      continue;
    }
    if (ModelPtr model = known_or_read(one, now)) {
      names.insert(ascii_lower(one.name));
      models.push_back(std::move(model));
    }
  }
  known_ = std::move(now);
  return models;
}

}  // namespace hypura
