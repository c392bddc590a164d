#include "store/fetch/fetch_model.h"

#include <algorithm>
#include <set>
#include <system_error>
#include <utility>

#include "store/catalogue/fetched.h"
#include "support/atomic_file.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

namespace {

class ModelFetch {
 public:
  ModelFetch(WebClient& client, const FetchSettings& settings, const RemoteModel& model, const FetchOptions& options)
      : client_(client), settings_(settings), model_(model), options_(options) {}

  Result<std::filesystem::path> run();

 private:
  Status fetch(const RemoteFile& file);
  Status link(const RemoteFile& file) const;
  Status record() const;
  void tell(const RemoteFile& file, const DownloadProgress& now) const;

  WebClient& client_;
  const FetchSettings& settings_;
  const RemoteModel& model_;
  const FetchOptions& options_;

  std::set<std::filesystem::path> ours_;  // blobs
  std::vector<const RemoteFile*> there_;
  uint64_t bytes_ = 0;  // of the files that are whole
  uint64_t kept_ = 0;   // of those, from before
};

Status cannot_make(const std::filesystem::path& path, const std::error_code& error) {
  return fail(ErrorCode::kIo, "{}: cannot be made: {}", path.string(), error.message());
}

Status make_parent(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  return error ? cannot_make(path.parent_path(), error) : Status();
}

Result<std::filesystem::path> ModelFetch::run() {
  if (Status status = check_room_for(model_, options_.download); !status) {
    return propagate(status.error());
  }
  std::vector<std::string> unread;  // of records that say nothing of this model
  for (const FetchedModel& before : fetched_models(settings_.data, unread)) {
    for (const FetchedFile& file : before.files) {
      ours_.insert(file.blob);
    }
  }
  for (const auto* files : {&model_.parts, &model_.others}) {
    for (const RemoteFile& file : *files) {
      if (Status status = fetch(file); !status) {
        return propagate(status.error());
      }
    }
  }
  for (const RemoteText& text : model_.texts) {
    Status status = make_parent(text.path).and_then([&] { return replace_file(text.path, text.text); });
    if (!status) {
      return propagate(status.error());
    }
  }
  if (Status status = record(); !status) {
    return propagate(status.error());
  }
  return model_.parts.front().path;
}

Status ModelFetch::fetch(const RemoteFile& file) {
  DownloadOptions download_options = options_.download;
  download_options.progress = [&](const DownloadProgress& now) { tell(file, now); };
  const BlobSource source{file.url, file.token, file.size, file.sha256};
  const auto report = download(client_, source, file.blob, file.lock, download_options);
  if (!report) {
    return propagate(report.error());
  }
  bytes_ += file.size;
  kept_ += report->was_there ? file.size : report->kept;
  if (!report->was_there) {
    ours_.insert(file.blob);
  }
  there_.push_back(&file);
  // At once, so that what an interrupted run leaves can be removed as well.
  return link(file).and_then([this] { return record(); });
}

// Relative, as Hugging Face's own are, so that the cache may be moved.
Status ModelFetch::link(const RemoteFile& file) const {
  if (file.path == file.blob) {
    return {};
  }
  const std::filesystem::path target = file.blob.lexically_relative(file.path.parent_path());
  std::error_code error;
  if (std::filesystem::read_symlink(file.path, error) == target && !error) {
    return {};
  }
  if (Status status = make_parent(file.path); !status) {
    return status;
  }
  const std::filesystem::path fresh = file.path.string() + ".hypura.link";
  std::filesystem::remove(fresh, error);
  std::filesystem::create_symlink(target, fresh, error);
  if (!error) {
    std::filesystem::rename(fresh, file.path, error);
  }
  return error ? cannot_make(file.path, error) : Status();
}

Status ModelFetch::record() const {
  FetchedModel mine;
  mine.name = model_.name;
  for (const RemoteFile* file : there_) {
    if (ours_.contains(file->blob)) {
      mine.files.push_back({file->path, file->blob});
    }
  }
  // A manifest in our own store goes with the model; refs in Hugging Face's cache are for all of the repository.
  const bool own_store = std::holds_alternative<OllamaName>(model_.identity);
  for (const RemoteText& text : model_.texts) {
    if (own_store && there_.size() == model_.parts.size() + model_.others.size()) {
      mine.files.push_back({text.path, text.path});
    }
  }
  return mine.files.empty() ? Status() : record_fetched(settings_.data, mine);
}

void ModelFetch::tell(const RemoteFile& file, const DownloadProgress& now) const {
  if (options_.progress) {
    options_.progress(
        {now.state, bytes_ + now.bytes, model_.bytes(), kept_ + now.kept, now.failures, &file, now.bytes});
  }
}

}  // namespace

Status check_room_for(const RemoteModel& model, const DownloadOptions& options) {
  const std::filesystem::path folder = model.parts.front().blob.parent_path();
  const auto free = options.free_space ? options.free_space(folder) : free_space_for(folder);
  if (!free) {
    return propagate(free.error());
  }
  const uint64_t missing = model.missing();
  if (missing > 0 && *free < missing + options.keep_free) {
    return fail(ErrorCode::kIo, "{} has {} to fetch, but only {} are free in {}; make room, or choose a smaller one",
                model.name, format_bytes(missing), format_bytes(*free), folder.string());
  }
  return {};
}

Result<std::filesystem::path> fetch_model(WebClient& client, const FetchSettings& settings, const RemoteModel& model,
                                          const FetchOptions& options) {
  return ModelFetch(client, settings, model, options).run();
}

}  // namespace hypura
