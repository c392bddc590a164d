#include "machine/memory.h"

#include <algorithm>

namespace hypura {

uint64_t MemoryLimits::allowed() const {
  if (!cgroup_limit) {
    return available;
  }
  const uint64_t left = *cgroup_limit > cgroup_used ? *cgroup_limit - cgroup_used : 0;
  return std::min(available, left);
}

}  // namespace hypura
