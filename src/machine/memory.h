// What memory this process may use: the machine's, and its cgroup's (v1 and v2).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "hypura/result.h"

namespace hypura {

struct MemoryLimits {
  uint64_t total = 0;      // bytes of RAM in the machine
  uint64_t available = 0;  // bytes the kernel says can be had without swapping (MemAvailable)
  // The tightest limit among this process's cgroup and its ancestors, and what that cgroup uses now (page cache that
  // can be dropped not counted). Tightest is the one that leaves the fewest bytes, which need not be the smallest: a
  // large limit shared with busy neighbours may leave less. None when no cgroup limits memory.
  std::optional<uint64_t> cgroup_limit;
  uint64_t cgroup_used = 0;
  std::string cgroup_path;  // the directory that sets the limit, for messages, as seen without `root`

  // Bytes this process may still take: the smaller of `available` and what the cgroup leaves.
  uint64_t allowed() const;
};

// Reads the limits. `root` is put before /proc and /sys paths, so that tests can use recorded files ("" in use).
// Missing, unreadable or senseless cgroup files mean no limit; a missing or senseless /proc/meminfo is kIo. macOS has
// no cgroups and does not use `root`. Thread-safe, as is everything here.
Result<MemoryLimits> read_memory_limits(const std::filesystem::path& root = {});

// Bytes this process has resident now, and at its highest so far (VmRSS, VmHWM; task_info on macOS). 0 if unknown.
struct ProcessMemory {
  uint64_t resident = 0;
  uint64_t peak = 0;
};
ProcessMemory read_process_memory();

// Physical cores this process may run on (affinity and cgroup CPU quota respected), at least 1. On Apple silicon the
// performance cores only: one slow core holds up all others at every barrier.
uint32_t usable_cores();

}  // namespace hypura
