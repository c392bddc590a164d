// Measures the machine.
#pragma once

#include <span>
#include <string>

#include "profiling/profile_target.h"

namespace hypura {

using ProfileProgress = std::function<void(double, std::string_view)>;

// Everything, in about eight seconds. Storage that cannot be measured is told in the log and left without points.
// Fails as machine_profile() does.
Result<MachineProfile> measure_machine(const ProfileTarget& target, const ProfileProgress& progress);

// Adds the speeds of `types` to a profile of this machine.
Status measure_types(MachineProfile& profile, std::span<const std::string> types, const ProfileProgress& progress);

}  // namespace hypura
