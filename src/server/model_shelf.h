// The models that a host offers, made from files: their headers are read once, as long as the files stay as they are.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "server/model_host.h"

namespace hypura {

using ReadCard = std::function<Result<ModelCard>(const std::filesystem::path&)>;

// When a file was last changed, and how large it is: what was found out about it holds while that stays.
struct FileStamp {
  std::filesystem::file_time_type changed;
  uint64_t bytes = 0;
  bool operator==(const FileStamp&) const = default;
};
FileStamp stamp_of(const std::filesystem::path& file);

// " reason=\"...\"", on the line it ends, for the log.
std::string logged_reason(const Error& error);

enum class Metadata { kWhole, kShortened };  // ServedModel::shortened

// Reads a model's header. Fails as `read`, and with kUsage when the chat template of its preset cannot be used.
Result<ModelPtr> make_served_model(const OfferedModel& offered, const ReadCard& read, Metadata metadata);

// Whether one model can answer for the other once it is loaded: they have the same weights and chat template.
bool opened_alike(const ServedModel& a, const ServedModel& b);

// The models of a server's flags. One that cannot be read is left out, with a line in the log, as long as there is
// another. Fails as `read` when none can be read, and with kUsage when two have the same name.
Result<std::vector<ModelPtr>> read_named_models(const std::vector<OfferedModel>& named, const ReadCard& read);

// One thread at a time.
class ModelShelf {
 public:
  explicit ModelShelf(ReadCard read) : read_(std::move(read)) {}

  // `models` and behind them `offered`, each name once. A model that has not changed is the same object as before.
  std::vector<ModelPtr> fill(std::vector<ModelPtr> models, const std::vector<OfferedModel>& offered);

 private:
  struct Known {
    FileStamp stamp;
    ModelPreset preset;
    std::string license;
    ModelPtr model;  // null: it cannot be read
  };

  ModelPtr known_or_read(const OfferedModel& offered, std::map<std::string, Known>& now);

  const ReadCard read_;
  std::map<std::string, Known> known_;  // by name and file
};

}  // namespace hypura
