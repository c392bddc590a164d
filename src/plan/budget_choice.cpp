#include "plan/budget_choice.h"

#include <algorithm>

#include "machine/memory.h"
#include "support/fail.h"
#include "support/units.h"

namespace hypura {

Result<BudgetChoice> choose_budget(const EngineOptions& options) {
  const auto limits = read_memory_limits();
  if (!limits) {
    return propagate(limits.error());
  }
  // What this process uses already is part of the margin: it must not count twice.
  const uint64_t resident = read_process_memory().resident;
  const uint64_t own = limits->cgroup_limit ? std::min(resident, limits->cgroup_used) : resident;
  const uint64_t allowed = limits->allowed() + own;
  const uint64_t margin = std::max(kProcessOverhead, allowed / 20);
  const uint64_t most = allowed > margin ? allowed - margin : 0;
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
