// Which GPUs are measured, and their part of a machine's profile.
#pragma once

#include <string>
#include <vector>

#include "hypura/devices.h"
#include "hypura/profile.h"
#include "hypura/result.h"
#include "profiling/machine_measuring.h"

namespace hypura {

// What ProfileOptions::gpu says of a GPU that cannot be measured.
struct GpuChoice {
  std::vector<GpuDeviceInfo> devices;
  bool named = false;  // by the user: then it is an error
};

// `text` as ProfileOptions::gpu. Fails with kUsage when there is no such device.
Result<GpuChoice> choose_gpus(const std::string& text);

// Adds to the profile what it lacks of these devices, and of `types` on them. True when it added something. Fails as
// measure_gpu() where a device was named; else the log tells, and it is left out.
Result<bool> add_gpus(MachineProfile& profile, const GpuChoice& choice, std::span<const std::string> types,
                      const ProfileProgress& progress, const MeasuringEffort& effort);

// Leaves the figures of these devices only.
void keep_gpus(MachineProfile& profile, const GpuChoice& choice);

}  // namespace hypura
