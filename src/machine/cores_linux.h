// The parts of usable_cores() that tests can feed with recorded files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>

namespace hypura {

// Physical cores among these logical CPUs: hyperthreads of one core count once. A CPU whose topology cannot be read
// counts as a core of its own.
uint32_t count_physical_cores(const std::filesystem::path& root, std::span<const unsigned> cpus);

// Whole CPUs' worth of time that the cgroups allow this process, at least 1; none when no cgroup limits it. Rounded
// down, because threads that spin at barriers beyond the quota make the kernel stop all of them.
std::optional<uint32_t> read_cpu_quota(const std::filesystem::path& root);

}  // namespace hypura
