// Choices that are otherwise the plan's, made by hand to measure the plan against others: for tests and measurements.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "hypura/placement.h"

namespace hypura {

// ggml's device of that name computes everything, with slots for so many experts of each layer in its memory.
struct GpuOverride {
  std::string device;
  uint32_t layer_slots = 0;
  bool stages = true;  // as GpuPlacement
};

struct PlanOverrides {
  std::optional<Mode> mode;            // none: any
  std::optional<GpuOverride> gpu;      // with mode kExpertStreaming, and no repacked copy
  std::optional<uint64_t> ring_ahead;  // bytes of the ring beyond those that it cannot do without
  ReadAhead read_ahead = ReadAhead::kAuto;
  std::optional<uint32_t> cached_experts;  // as many as fit, up to this; in mixed streaming dense weights get the rest
  bool warm_start = true;                  // false: the run history goes into the plan alone, not into the cache
  bool keep_draft_model = false;           // though by the plan it takes more from the model than drafts give
};

}  // namespace hypura
