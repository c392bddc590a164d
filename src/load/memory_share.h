// How much of an open model's memory can be given back, and how what is left is divided.
//
// The plan's own solver divides it, for what the model was opened as: the same groups of weights streamed, the same KV
// cache, the same passes. No cache gets more than it was opened with, since that is what there are addresses for.
// Keys and values beyond the context shrink in proportion.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hypura/placement.h"
#include "placement/problem.h"

namespace hypura {

struct OpenModel;

// Bytes as EngineOptions::memory counts them.
struct MemoryRange {
  uint64_t most = 0;   // that it was opened with
  uint64_t least = 0;  // that it can do with as it is open
  std::string fixed;   // why it can give back little or nothing, for people: "all of its weights ..."; empty: it can
};

struct MemoryDivision {
  ExpertPlacement experts;
  DensePlacement dense;
  uint64_t kept = 0;          // bytes of entries beyond the context
  double decode_seconds = 0;  // of a token, as the plan predicts it, without calibration
};

// `fixed`: why the weights' caches cannot give back, StreamedWeights::why_fixed().
MemoryRange memory_range(const PlacementProblem& problem, const Placement& opened, uint64_t budget, uint64_t kept,
                         const std::string& fixed);

// For `bytes`, within the range.
MemoryDivision divide_memory(const PlacementProblem& problem, const Placement& opened, const MemoryRange& range,
                             uint64_t kept, uint64_t bytes);

}  // namespace hypura
