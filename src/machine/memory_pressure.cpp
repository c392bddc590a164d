#include "machine/memory_pressure.h"

namespace hypura {

bool is_pressed(const PressureCounts& before, const PressureCounts& now, double seconds, const MemoryLimits& limits) {
  constexpr double kWaiting = 0.1;  // of the time; a healthy machine stays far below
  constexpr uint64_t kPlenty = 8;   // this part of the memory is free
  const auto waited = [&](uint64_t earlier, uint64_t later) {
    return later > earlier && static_cast<double>(later - earlier) * 1e-6 >= kWaiting * seconds;
  };
  const uint64_t limit = limits.cgroup_limit.value_or(0);
  const bool tight =
      limits.cgroup_used >= limit - limit / kPlenty;  // macOS, which has no cgroups, counts warnings only
  return (tight && now.limits_reached > before.limits_reached) || waited(before.cgroup_wait_us, now.cgroup_wait_us) ||
         (waited(before.machine_wait_us, now.machine_wait_us) && limits.available < limits.total / kPlenty);
}

}  // namespace hypura
