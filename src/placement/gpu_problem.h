// What a GPU adds to a placement problem: its memory, what lies there, and how fast it is. Plain numbers;
// plan/gpu_problem.h fills them in.
//
// All sizes are bytes, all times seconds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "placement/gpu_speeds.h"
#include "placement/problem_parts.h"

namespace hypura {

// MoE layers that are alike, the group of PlacementProblem::experts with the same number.
struct GpuGroup {
  uint64_t slot_bytes = 0;   // of one expert in the device's memory
  uint64_t layer_bytes = 0;  // that the slots of a layer take besides: padding
};

struct GpuProblem {
  uint64_t budget = 0;        // of the device's memory
  bool required = false;      // it is to compute also where the processors would be faster,
  bool or_processors = true;  // and they where it cannot
  // It computes in the machine's memory: its slots are RAM's, nothing is below, and its budget is a part of RAM's.
  bool in_ram = false;
  bool may_hold_all = true;          // everything may lie there
  bool may_stream = false;           // some experts may be in slots there, over slots in RAM
  uint64_t weights = 0;              // there, all but the experts that can be streamed
  uint64_t host_weights = 0;         // that stay in RAM: the table of embeddings
  uint64_t other = 0;                // what streaming takes there besides slots and staging
  std::vector<KvChoice> kv;          // in the device's memory; at least one
  std::vector<UbatchChoice> ubatch;  // at least one
  std::vector<GpuGroup> groups;
  std::vector<GpuSpeeds> speeds;  // for each of `ubatch`, in passes of up to that size
  std::string obstacle;           // why it can compute nothing of this model; empty: it can
  std::string undivided;          // why none of the model's layers are there where all are too many; empty: they are

  // Set by hand, for measurements: so many experts of each layer have slots, or all of them; and GpuPlacement::stages.
  std::optional<uint32_t> layer_slots;
  std::optional<bool> stages;

  // For placements with passes of `tokens` tokens.
  const GpuSpeeds& speeds_for(uint32_t tokens) const {
    for (size_t i = 0; i < ubatch.size(); ++i) {
      if (ubatch[i].tokens == tokens) {
        return speeds[i];
      }
    }
    return speeds.front();
  }
};

}  // namespace hypura
