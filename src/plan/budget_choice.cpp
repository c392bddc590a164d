#include "plan/budget_choice.h"

#include <algorithm>

#include "support/fail.h"
#include "support/units.h"

namespace hypura {

// What this process uses already is part of the margin: it must not count twice. A cgroup may use more than its limit
// where that was lowered.
uint64_t affordable_budget(const MemoryLimits& limits, uint64_t resident) {
  uint64_t allowed = limits.available + resident;
  if (limits.cgroup_limit) {
    const uint64_t others = limits.cgroup_used - std::min(limits.cgroup_used, resident);
    allowed = std::min(limits.available + std::min(resident, limits.cgroup_used),
                       *limits.cgroup_limit - std::min(*limits.cgroup_limit, others));
  }
  const uint64_t margin = std::max(kProcessOverhead, allowed / 20);
  return allowed > margin ? allowed - margin : 0;
}

Result<BudgetChoice> choose_budget(const EngineOptions& options) {
  const auto limits = read_memory_limits();
  if (!limits) {
    return propagate(limits.error());
  }
  const uint64_t most = affordable_budget(*limits, read_process_memory().resident);
  if (!options.memory || *options.memory <= most) {
    return BudgetChoice{options.memory.value_or(most), {}};
  }
  const std::string asked = format_bytes(*options.memory);
  if (asked == format_bytes(most)) {
    return BudgetChoice{most, {}};
  }
  return BudgetChoice{most, fmt::format(" (lowered from {}: this machine{} allows no more)", asked,
                                        limits->cgroup_limit ? "'s cgroup" : "")};
}

}  // namespace hypura
