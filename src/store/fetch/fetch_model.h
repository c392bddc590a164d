// Fetches a model that a server has: all its files, then what makes them a model where they lie, then our record of it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "hypura/result.h"
#include "store/fetch/download.h"
#include "store/fetch/remote_model.h"

namespace hypura {

struct FetchProgress {
  DownloadProgress::State state = DownloadProgress::State::kFetching;
  uint64_t bytes = 0;  // of the whole model, on this machine
  uint64_t size = 0;   // of the whole model
  uint64_t kept = 0;   // of `bytes`, there before this run
  unsigned failures = 0;
  const RemoteFile* file = nullptr;  // that is under way
  uint64_t file_bytes = 0;
};

struct FetchOptions {
  DownloadOptions download;  // its progress is not used
  std::function<void(const FetchProgress&)> progress;
};

// Fetches what is missing of `model` and gives the path that a command opens: the first part's. A file that is there
// already is taken as it is, whoever fetched it. Files that this run or an earlier one of ours fetched are recorded as
// ours (store/catalogue/fetched.h), each as soon as it is whole; those of others never. Fails as download(), and with
// kIo where a link or a record cannot be written.
Result<std::filesystem::path> fetch_model(WebClient& client, const FetchSettings& settings, const RemoteModel& model,
                                          const FetchOptions& options);

// Whether there is room for what is missing. Fails with kIo and a sentence that says how much is.
Status check_room_for(const RemoteModel& model, const DownloadOptions& options);

}  // namespace hypura
