// How many bytes a model may use.
#pragma once

#include <cstdint>
#include <string>

#include "hypura/engine.h"
#include "machine/memory.h"

namespace hypura {

// What the process takes beside the budget: code, stacks, allocator. Stated in docs/guide/memory.md, held by the memory
// test.
inline constexpr uint64_t kProcessOverhead = 64ULL << 20;

struct BudgetChoice {
  uint64_t bytes = 0;
  std::string remark;  // " (lowered from ...)" when it is less than was asked for by as much as can be seen, else empty
};

// Bytes that a model of this process may have by what is free now, less a margin. What the process has resident counts
// as free.
uint64_t affordable_budget(const MemoryLimits& limits, uint64_t resident);

// What was asked for, or what the machine and its cgroups leave less a margin (5 %, at least kProcessOverhead), when
// that is less or nothing was asked for. Fails as read_memory_limits.
Result<BudgetChoice> choose_budget(const EngineOptions& options);

}  // namespace hypura
