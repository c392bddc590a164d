#include "history/sustained_rate.h"

#include "profiling/profile_target.h"

namespace hypura {

namespace {

// Chosen: a profile measures for a few seconds in all, so that this is another order of time.
constexpr double kLong = 20;
constexpr double kWaitShare = 0.5;

}  // namespace

std::optional<double> sustained_rate(const EngineStats& stats) {
  const double passes = stats.prompt_seconds + stats.decode_seconds;
  if (stats.decode_seconds < kLong || stats.io_wait_seconds < kWaitShare * passes) {
    return std::nullopt;
  }
  return static_cast<double>(stats.decode_bytes) / stats.decode_seconds;
}

Status save_sustained_rate(const std::filesystem::path& path, double bytes_per_second) {
  return change_cached_profile(
      path, [=](MachineProfile& profile) { profile.storage.sustained_bytes_per_second = bytes_per_second; });
}

}  // namespace hypura
