// Whether something on this machine has to wait for memory.
//
// Linux counts the time that tasks wait (PSI, Documentation/accounting/psi.rst), for the machine and for each cgroup
// (v2), and how often a cgroup reached memory.high. The counts are read when somebody looks: the kernel's
// own triggers need a privilege on many kernels in use, and are no sooner than a look a quarter of a second. macOS
// sends events.
#pragma once

#include <cstdint>
#include <filesystem>

#include "machine/memory.h"

namespace hypura {

// Counts that only grow; 0 where the system has none.
struct PressureCounts {
  uint64_t machine_wait_us = 0;  // microseconds in which some task waited for memory
  uint64_t cgroup_wait_us = 0;   // the same of this process's cgroup
  uint64_t limits_reached = 0;   // times: by its cgroup and those above; macOS's warnings
};

// `root` as for read_memory_limits(). Any thread.
PressureCounts read_pressure(const std::filesystem::path& root = {});

// Whether what was counted between two looks, `seconds` apart, is more than comes and goes. What waits elsewhere on a
// machine that has memory left (a container at its own limit) does not count, nor do limits that page cache reaches.
bool is_pressed(const PressureCounts& before, const PressureCounts& now, double seconds, const MemoryLimits& limits);

}  // namespace hypura
