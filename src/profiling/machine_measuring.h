// Measures the machine.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "backend/gpu/speed/device_speed.h"
#include "backend/speed/compute_speed.h"
#include "machine/speed/scratch_file.h"
#include "machine/speed/storage_speed.h"
#include "profiling/profile_target.h"

namespace hypura {

using ProfileProgress = std::function<void(double, std::string_view)>;

// How long each part is measured, and on how much memory. The defaults give figures that a plan can rely on, in about
// eight seconds.
struct MeasuringEffort {
  ScratchLimits scratch;
  StorageTest storage;              // its progress is not used
  double ram_seconds = 1.6;         // for all numbers of threads together
  uint64_t most_bytes = 512 << 20;  // of memory that is read or multiplied by
  int64_t matmul_size = ComputeTest{}.matmul_size;
  double kernel_seconds = ComputeTest{}.seconds;
  double both_seconds = 0.2;  // of computing, of reading and of both, each
  bool when_doubtful = true;  // measure again where the cached profile is doubtful; leave out what others disturb
  GpuTest gpu;                // its threads and progress are not used
};

// A part of the whole's progress, from `begin` to `end`, under one name.
std::function<void(double)> part_of(const ProfileProgress& progress, double begin, double end, std::string_view what);

// Now, as MachineProfile::measured_at.
std::string time_of_day();

// Everything but GPUs. Storage that cannot be measured is told in the log and left without points. Fails as
// machine_profile() does.
Result<MachineProfile> measure_machine(const ProfileTarget& target, const ProfileProgress& progress,
                                       const MeasuringEffort& effort);

// The usual types and those of the target's model: what is measured.
std::vector<std::string> measured_types(const ProfileTarget& target);

// Adds the speeds of `types` to a profile of this machine.
Status measure_types(MachineProfile& profile, std::span<const std::string> types, const ProfileProgress& progress,
                     const MeasuringEffort& effort);

// machine_profile() of hypura/profile.h, with this effort where it measures.
Result<MachineProfile> machine_profile(const ProfileOptions& options, const MeasuringEffort& effort);

}  // namespace hypura
