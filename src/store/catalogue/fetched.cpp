#include "store/catalogue/fetched.h"

#include <algorithm>
#include <optional>
#include <set>

#include "store/catalogue/small_json.h"
#include "support/ascii.h"
#include "support/atomic_file.h"
#include "support/fail.h"
#include "support/fnv.h"

namespace hypura {
namespace {

namespace fs = std::filesystem;

constexpr int kRecordVersion = 1;

fs::path records_in(const fs::path& data) {
  return data / "fetched";
}

fs::path record_of(const fs::path& data, const std::string& name) {
  return records_in(data) / fmt::format("{:016x}.json", fnv1a(ascii_lower(name)));
}

// Only what is written plainly: a ".." could lead anywhere.
bool is_plain(const fs::path& path) {
  return path.is_absolute() && path.lexically_normal() == path && path.has_filename();
}

std::optional<FetchedModel> read_record(const fs::path& file, std::vector<std::string>& problems) {
  const auto json = read_small_json(file);
  if (!json) {
    problems.push_back(json.error().message);
    return std::nullopt;
  }
  FetchedModel model;
  model.name = json_text(*json, "name");
  for (const nlohmann::json& entry : json_array(*json, "files")) {
    model.files.push_back({json_text(entry, "path"), json_text(entry, "blob")});
  }
  const bool plain =
      std::ranges::all_of(model.files, [](const FetchedFile& it) { return is_plain(it.path) && is_plain(it.blob); });
  if (model.name.empty() || model.files.empty() || !plain) {
    problems.push_back(fmt::format("{}: is no record of a model that was fetched", file.string()));
    return std::nullopt;
  }
  return model;
}

// Whether another link beside one of a repository's, in any of its snapshots, leads to `blob`.
bool is_linked(const fs::path& repository, const fs::path& blob) {
  std::error_code error;
  const fs::path snapshots = repository / "snapshots";
  for (fs::recursive_directory_iterator it(snapshots, error), end; !error && it != end; it.increment(error)) {
    std::error_code none;
    if (it->is_symlink(none) && fs::equivalent(it->path(), blob, none)) {
      return true;
    }
  }
  return false;
}

// Nothing to remove is no error: somebody may have done it by hand.
Status remove_file(const fs::path& file) {
  std::error_code error;
  fs::remove(file, error);
  return error ? Status(fail(ErrorCode::kIo, "{} cannot be removed: {}", file.string(), error.message())) : Status();
}

// Removes a folder and those around it, as long as they are empty and below `root`.
void remove_empty(fs::path folder, const fs::path& root) {
  std::error_code error;
  while (folder != root && folder.has_relative_path() && fs::is_directory(folder, error) &&
         fs::is_empty(folder, error)) {
    fs::remove(folder, error);
    if (error) {
      return;
    }
    folder = folder.parent_path();
  }
}

// The references of a repository in Hugging Face's cache to snapshots that are gone.
void remove_dead_references(const fs::path& repository) {
  std::error_code error;
  std::vector<fs::path> dead;
  for (fs::recursive_directory_iterator it(repository / "refs", error), end; !error && it != end; it.increment(error)) {
    constexpr uint64_t kMostReference = 256;
    const auto commit = read_small_file(it->path(), kMostReference);
    std::error_code none;
    if (commit && !commit->empty() && !fs::exists(repository / "snapshots" / *commit, none)) {
      dead.push_back(it->path());
    }
  }
  for (const fs::path& file : dead) {
    fs::remove(file, error);
    remove_empty(file.parent_path(), repository.parent_path());
  }
}

// The repository's folder in Hugging Face's cache that a blob lies in; empty: it lies elsewhere.
fs::path repository_of(const FetchedFile& file) {
  const fs::path blobs = file.blob.parent_path();
  const fs::path repository = blobs.parent_path();
  const bool cached =
      file.blob != file.path && blobs.filename() == "blobs" && repository.filename().string().starts_with("models--");
  return cached ? repository : fs::path();
}

}  // namespace

Status record_fetched(const fs::path& data, const FetchedModel& model) {
  nlohmann::json files = nlohmann::json::array();
  for (const FetchedFile& file : model.files) {
    files.push_back({{"path", file.path.string()}, {"blob", file.blob.string()}});
  }
  const nlohmann::json json = {{"version", kRecordVersion}, {"name", model.name}, {"files", std::move(files)}};
  return write_file_atomically(record_of(data, model.name), json_dump(json));
}

std::vector<FetchedModel> fetched_models(const fs::path& data, std::vector<std::string>& problems) {
  std::vector<FetchedModel> models;
  std::error_code error;
  for (fs::directory_iterator it(records_in(data), error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == ".json") {
      if (auto model = read_record(it->path(), problems)) {
        models.push_back(std::move(*model));
      }
    }
  }
  std::ranges::sort(models, {}, &FetchedModel::name);
  return models;
}

Result<uint64_t> remove_fetched(const fs::path& data, const FetchedModel& model) {
  std::vector<std::string> ignored;
  std::set<fs::path> of_others;
  for (const FetchedModel& other : fetched_models(data, ignored)) {
    for (const FetchedFile& file : other.files) {
      if (!equal_ignoring_case(other.name, model.name)) {
        of_others.insert(file.path);
        of_others.insert(file.blob);
      }
    }
  }
  uint64_t freed = 0;
  for (const FetchedFile& file : model.files) {
    const fs::path repository = repository_of(file);
    std::error_code error;
    // Not what a link of somebody else's has taken the place of.
    if (file.path != file.blob && fs::is_symlink(file.path, error) && !of_others.contains(file.path)) {
      if (Status status = remove_file(file.path); !status) {
        return propagate(status.error());
      }
    }
    if (!of_others.contains(file.blob) && (repository.empty() || !is_linked(repository, file.blob))) {
      const uint64_t bytes = fs::is_regular_file(file.blob, error) ? fs::file_size(file.blob, error) : 0;
      if (Status status = remove_file(file.blob); !status) {
        return propagate(status.error());
      }
      freed += error ? 0 : bytes;
    }
    // No further than the folder that holds all repositories, or the one that the file lies in.
    const fs::path root = repository.empty() ? file.blob.parent_path() : repository.parent_path();
    remove_empty(file.path.parent_path(), root);
    remove_empty(file.blob.parent_path(), root);
    if (!repository.empty()) {
      remove_dead_references(repository);
      remove_empty(repository, root);
    }
  }
  return remove_file(record_of(data, model.name)).map([&] { return freed; });
}

}  // namespace hypura
