// What a profile is of: a path, the file system under it, and the file in the cache where it is kept.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>

#include "hypura/profile.h"
#include "hypura/result.h"
#include "machine/profile_cache.h"

namespace hypura {

struct ProfileTarget {
  std::filesystem::path path;    // absolute; a file or a folder
  std::filesystem::path folder;  // itself, or the one that holds it
  std::string file_system;
  uint32_t threads = 0;
  Fingerprint fingerprint;
  std::optional<std::filesystem::path> cache;  // none when there is no home to keep it in

  bool is_file() const { return path != folder; }
};

// Fails with kIo when the path cannot be read, with kUsage when it is neither file nor folder.
Result<ProfileTarget> find_profile_target(const ProfileOptions& options);

// Changes the cached profile of the disk under `path`, where there is one. Fails with kIo as store_profile() does, or
// when `path` cannot be read.
Status change_cached_profile(const std::filesystem::path& path, const std::function<void(MachineProfile&)>& change);

// The types of the weights that the model at `path` multiplies by, each once; none when it is no model that can be
// read.
std::vector<std::string> weight_types(const std::filesystem::path& path);

// Sets what may have changed since the profile was measured: memory total, available, allowed and limit.
Status refresh_memory(MachineProfile& profile);

}  // namespace hypura
