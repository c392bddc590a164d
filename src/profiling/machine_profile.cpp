#include <algorithm>

#include "hypura/profile.h"
#include "machine/two_measurements.h"
#include "profiling/gpu_measuring.h"
#include "profiling/machine_measuring.h"
#include "profiling/profile_target.h"
#include "support/fail.h"
#include "support/log.h"

namespace hypura {

namespace {

constexpr double kBeforeGpus = 0.7;  // of the progress, where there are any

// A profile is of use without its cache, so not being able to keep it is no error.
void keep(const ProfileTarget& target, const MachineProfile& profile) {
  if (profile.storage.points.empty()) {
    return;  // next time there may be space to measure the disk
  }
  if (!target.cache) {
    logger().warn("neither XDG_CACHE_HOME nor HOME is set, so the profile is not saved");
  } else if (Status status = store_profile(*target.cache, profile, target.fingerprint); !status) {
    logger().warn("the profile was not saved and will be measured again: {}", status.error().message);
  }
}

std::optional<MachineProfile> load(const ProfileTarget& target, std::string& problem) {
  if (!target.cache) {
    return std::nullopt;
  }
  CachedProfile cached = load_profile(*target.cache, target.fingerprint);
  problem = std::move(cached.problem);
  if (!cached.profile || !refresh_memory(*cached.profile)) {
    return std::nullopt;
  }
  return std::move(cached.profile);
}

// Types of the model that were not measured when some other one was profiled.
Status add_missing_types(const ProfileTarget& target, MachineProfile& profile, const ProfileProgress& progress,
                         const MeasuringEffort& effort) {
  std::vector<std::string> missing = target.is_file() ? weight_types(target.path) : std::vector<std::string>();
  missing.erase(std::remove_if(missing.begin(), missing.end(),
                               [&](const std::string& type) { return profile.kernel(type) != nullptr; }),
                missing.end());
  if (missing.empty()) {
    return {};
  }
  if (Status status = measure_types(profile, missing, progress, effort); !status) {
    return status;
  }
  keep(target, profile);
  return {};
}

// Progress of a part of the whole, in what the caller has of it.
ProfileProgress scaled(const ProfileProgress& progress, double begin, double end) {
  if (!progress) {
    return {};
  }
  return [=](double share, std::string_view what) { progress(begin + (end - begin) * share, what); };
}

// Of two profiles that other programs disturbed the one that had more of the processors is kept.
Result<MachineProfile> measure_again(const ProfileTarget& target, MachineProfile before,
                                     const ProfileProgress& progress, const MeasuringEffort& effort) {
  auto now = measure_machine(target, progress, effort);
  if (!now) {
    return now;
  }
  if (now->disturbed() && before.contradicted_by == 0 && before.processor_share > now->processor_share) {
    return before;
  }
  now->gpus = std::move(before.gpus);
  now->storage.sustained_bytes_per_second = before.storage.sustained_bytes_per_second;
  keep(target, *now);
  return now;
}

// A second time beside the first, or beside one of two in the place of both: machines change. One that others disturb
// says nothing of what lasts, and of another disk or without one there is nothing to compare.
Result<MachineProfile> measure_once_more(const ProfileTarget& target, MachineProfile before,
                                         const ProfileProgress& progress, const MeasuringEffort& effort) {
  auto now = measure_machine(target, progress, effort);
  if (!now) {
    return now;
  }
  if (now->disturbed() && effort.when_doubtful) {
    logger().warn("other programs had {:.0f} % of the processors meanwhile; this measurement does not count",
                  (1 - now->processor_share) * 100);
    return before;
  }
  MachineProfile both = two_measurements(before, std::move(*now));
  keep(target, both);
  return both;
}

// The cached profile or a new one, without what is to be known of GPUs; `share` of the progress.
Result<MachineProfile> profile_of_processor(const ProfileTarget& target, const ProfileOptions& options,
                                            const MeasuringEffort& effort, double share) {
  const ProfileProgress progress = scaled(options.progress, 0, share);
  if (!options.force) {
    std::string problem;
    auto profile = load(target, problem);
    if (profile && profile->doubtful() && effort.when_doubtful) {
      return measure_again(target, std::move(*profile), progress, effort);
    }
    if (profile && options.again) {
      return measure_once_more(target, std::move(*profile), progress, effort);
    }
    if (profile) {
      if (Status status = add_missing_types(target, *profile, progress, effort); !status) {
        return propagate(status.error());
      }
      return std::move(*profile);
    }
    if (!problem.empty()) {
      logger().warn("{}; measuring the machine again", problem);
    }
  }
  auto profile = measure_machine(target, progress, effort);
  if (profile) {
    keep(target, *profile);
  }
  return profile;
}

}  // namespace

Result<MachineProfile> machine_profile(const ProfileOptions& options) {
  return machine_profile(options, {});
}

Result<MachineProfile> machine_profile(const ProfileOptions& options, const MeasuringEffort& effort) {
  const auto target = find_profile_target(options);
  if (!target) {
    return propagate(target.error());
  }
  const auto gpus = choose_gpus(options.gpu);
  if (!gpus) {
    return propagate(gpus.error());
  }
  auto profile = profile_of_processor(*target, options, effort, gpus->devices.empty() ? 1 : kBeforeGpus);
  if (!profile) {
    return profile;
  }
  const auto added =
      add_gpus(*profile, *gpus, measured_types(*target), scaled(options.progress, kBeforeGpus, 1), effort);
  if (!added) {
    return propagate(added.error());
  }
  if (*added) {
    keep(*target, *profile);
  }
  keep_gpus(*profile, *gpus);
  return profile;
}

std::optional<MachineProfile> cached_profile(const ProfileOptions& options) {
  const auto target = find_profile_target(options);
  std::string problem;
  return target ? load(*target, problem) : std::nullopt;
}

}  // namespace hypura
