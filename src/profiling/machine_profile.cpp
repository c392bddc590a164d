#include <algorithm>

#include "hypura/profile.h"
#include "profiling/machine_measuring.h"
#include "profiling/profile_subject.h"
#include "support/fail.h"
#include "support/log.h"

namespace hypura {

namespace {

// A profile is of use without its cache, so not being able to keep it is no error.
void keep(const ProfileSubject& subject, const MachineProfile& profile) {
  if (profile.storage.points.empty()) {
    return;  // next time there may be room to measure the disk
  }
  if (!subject.cache) {
    logger().warn("neither XDG_CACHE_HOME nor HOME is set, so the profile is not kept");
  } else if (Status status = store_profile(*subject.cache, profile, subject.fingerprint); !status) {
    logger().warn("the profile is not kept, and will be measured again: {}", status.error().message);
  }
}

std::optional<MachineProfile> load(const ProfileSubject& subject, std::string& problem) {
  if (!subject.cache) {
    return std::nullopt;
  }
  CachedProfile cached = load_profile(*subject.cache, subject.fingerprint);
  problem = std::move(cached.problem);
  if (!cached.profile || !refresh_memory(*cached.profile)) {
    return std::nullopt;
  }
  return std::move(cached.profile);
}

// Types of the model that were not measured when some other one was profiled.
Status add_missing_types(const ProfileSubject& subject, MachineProfile& profile, const ProfileProgress& progress) {
  std::vector<std::string> missing = subject.is_file() ? weight_types(subject.path) : std::vector<std::string>();
  missing.erase(std::remove_if(missing.begin(), missing.end(),
                               [&](const std::string& type) { return profile.kernel(type) != nullptr; }),
                missing.end());
  if (missing.empty()) {
    return {};
  }
  if (Status status = measure_types(profile, missing, progress); !status) {
    return status;
  }
  keep(subject, profile);
  return {};
}

}  // namespace

Result<MachineProfile> machine_profile(const ProfileOptions& options) {
  const auto subject = find_subject(options);
  if (!subject) {
    return propagate(subject.error());
  }
  if (!options.force) {
    std::string problem;
    if (auto profile = load(*subject, problem)) {
      if (Status status = add_missing_types(*subject, *profile, options.progress); !status) {
        return propagate(status.error());
      }
      return std::move(*profile);
    }
    if (!problem.empty()) {
      logger().warn("{}; the machine is measured anew", problem);
    }
  }
  auto profile = measure_machine(*subject, options.progress);
  if (profile) {
    keep(*subject, *profile);
  }
  return profile;
}

std::optional<MachineProfile> cached_profile(const ProfileOptions& options) {
  const auto subject = find_subject(options);
  std::string problem;
  return subject ? load(*subject, problem) : std::nullopt;
}

}  // namespace hypura
