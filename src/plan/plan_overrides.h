// Choices that are otherwise the plan's, made by hand to measure the plan against others: for tests and measurements.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "hypura/placement.h"

namespace hypura {

// The last layers of a model, with their keys and values, are GPUs', which have all of their weights in their own
// memory; the others are the processors', in any mode (docs/design/gpu.md, "Dense models").
struct GpuLayers {
  uint32_t count = 0;   // as llama.cpp's --n-gpu-layers: 1 is the output alone, n the output and the last n - 1 layers
  bool experts = true;  // false: the routed experts of these layers too are the processors', as with its --cpu-moe
  // Of several GPUs each has so many of them, in the order of the layers; they add up to the count. None: one has all.
  std::vector<uint32_t> of_devices = {};
  // False: the output counts, and stays with the processors all the same. So it is with a worker, to which all that is
  // no layer's would have to go, and from which scores would come back for the whole vocabulary.
  bool output = true;
};

// ggml's device of that name, or several separated by commas, computes everything, with slots for so many experts of
// each layer in its memory; or, with `layers`, one computes these, without slots.
struct GpuOverride {
  std::string device;
  uint32_t layer_slots = 0;
  bool stages = true;  // as GpuPlacement
  std::optional<GpuLayers> layers = {};
};

struct PlanOverrides {
  std::optional<Mode> mode;             // none: any
  std::optional<GpuOverride> gpu;       // no repacked copy is read; with slots the mode must be kExpertStreaming
  std::optional<uint64_t> ring_ahead;   // bytes of the ring beyond those that it cannot do without
  std::optional<uint64_t> range_bytes;  // that dense matrices are cut into (tiers/row_ranges.h)
  std::optional<uint32_t> pool;         // cells of the KV cache, one context at least
  std::optional<uint64_t> row_cache;    // bytes of rows that each table keeps, none of which stays
  ReadAhead read_ahead = ReadAhead::kAuto;
  std::optional<uint32_t> cached_experts;  // as many as fit, up to this; in mixed streaming dense weights get the rest
  bool warm_start = true;                  // false: the run history goes into the plan alone, not into the cache
  bool keep_draft_model = false;           // though by the plan it takes more from the model than drafts give
  bool draft_on_gpu = false;               // it lies on the GPU, where there is room, though RAM gives more
  bool alike_workers = false;  // planned and divided for as if they were as fast as this machine, and no way off
  std::optional<uint32_t> worker_layers;                     // that workers have, whole, if their memory holds them
  std::optional<std::chrono::milliseconds> worker_patience;  // AskingManner's
  std::optional<double> worker_round_trip;  // seconds, for what is measured of the way, which then carries any bytes
};

}  // namespace hypura
