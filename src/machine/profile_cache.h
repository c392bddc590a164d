// Profiles kept between runs: one JSON file for each machine, file system and number of threads.
//
// Two processes may use one file at once: it is replaced as a whole. Every function may be called from any thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "hypura/profile.h"
#include "hypura/result.h"

namespace hypura {

// What a profile depends on, by name: ("kernel", "Linux 6.1.0"). A profile is valid while nothing of it changes.
using Fingerprint = std::vector<std::pair<std::string, std::string>>;

struct CachedProfile {
  std::optional<MachineProfile> profile;
  std::string problem;  // why there is a file and no profile, as half a sentence that names the file; else empty
};

// A missing file is no problem. One that is damaged, of another version or of a machine that has changed is.
CachedProfile load_profile(const std::filesystem::path& file, const Fingerprint& fingerprint);

// Fails with kIo as write_file_atomically() does.
Status store_profile(const std::filesystem::path& file, const MachineProfile& profile, const Fingerprint& fingerprint);

// "profile-0123456789abcdef.json": the same for the same texts, in every version of this program.
std::string profile_file_name(const std::string& host, const std::string& file_system, uint32_t threads);

}  // namespace hypura
