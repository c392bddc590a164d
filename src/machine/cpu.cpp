#include "machine/cpu.h"

#include <algorithm>

namespace hypura {

uint64_t CpuInfo::largest_cache() const {
  uint64_t largest = 0;
  for (const auto& [name, bytes] : caches) {
    largest = std::max(largest, bytes);
  }
  return largest;
}

}  // namespace hypura
