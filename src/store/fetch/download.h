// One file over HTTP: several ranges of it at once, resumed where an earlier run stopped, checked by its SHA-256.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "hypura/result.h"
#include "store/fetch/web_client.h"

namespace hypura {

// What is to be fetched.
struct BlobSource {
  std::string url;
  std::string token;   // for the origin of `url`; empty: none
  uint64_t size = 0;   // that it must have; 0: what the server says
  std::string sha256;  // that it must have; empty: not known
};

// What happens, for a progress bar. Bytes are those of this one file that are on disk.
struct DownloadProgress {
  enum class State : uint8_t { kWaiting, kFetching, kChecking };
  State state = State::kFetching;
  uint64_t bytes = 0;
  uint64_t size = 0;      // 0: not known yet
  uint64_t kept = 0;      // of `bytes`, fetched by earlier runs
  unsigned failures = 0;  // that were forgiven so far
};

struct DownloadOptions {
  unsigned connections = 4;
  uint64_t chunk = uint64_t{32} << 20;       // bytes of one request
  uint64_t save_every = uint64_t{16} << 20;  // bytes between two records of what is there
  uint64_t keep_free = uint64_t{64} << 20;   // bytes that must be left on the disk
  unsigned most_restarts = 3;                // because the file changed on the server
  RetryPolicy retries;
  // Bytes that are free where `folder` lies; tests put another here.
  std::function<Result<uint64_t>(const std::filesystem::path& folder)> free_space;
  // Called first with what earlier runs left, so that kFetching comes before kChecking for whatever must be fetched.
  std::function<void(const DownloadProgress&)> progress;
  KeepGoing keep_going;
};

struct DownloadReport {
  std::string sha256;      // of the whole file; empty when it was there before
  uint64_t fetched = 0;    // bytes that came in this run
  uint64_t kept = 0;       // bytes that earlier runs had fetched
  unsigned failures = 0;   // that were forgiven
  unsigned restarts = 0;   // from the beginning, because the file changed on the server
  bool was_there = false;  // also when another process fetched it meanwhile
};

// Fetches `source` into `target`, whose folders are made. Nothing is there under that name until it is whole and
// checked. `lock`: the file that all who fetch this target take (file_lock.h); whoever comes second waits.
//
// Each range is asked for with If-Range, so bytes of two versions are never put together: a file that changes meanwhile
// is begun anew. The hash is computed in order of the bytes while the later ones still come, from what was written;
// what an earlier run left is read for it again.
//
// Fails with kIo: when the server refuses or gives other lengths, when failures in a row are more than
// DownloadOptions::retries forgives, when the disk has no room; what was fetched then stays for the next run. Also when
// the hash is wrong: what was fetched is then removed. Fails with kCancelled when keep_going says so. One thread.
Result<DownloadReport> download(WebClient& client, const BlobSource& source, const std::filesystem::path& target,
                                const std::filesystem::path& lock, const DownloadOptions& options);

// Bytes that a user may still write where `folder` lies, or its nearest parent that is there. Fails with kIo.
Result<uint64_t> free_space_for(const std::filesystem::path& folder);

}  // namespace hypura
