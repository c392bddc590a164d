// Computes an expert block on a device whose memory has room neither for the chosen experts nor for a whole layer: some
// experts at a time, all rows that chose them gathered, and the results put where the graph wants them.
//
// The rows of an expert are computed together, as they are with everything resident. A kernel that divides its work by
// the number of all rows may round differently all the same: of ggml's, CUDA's for many rows.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "backend/expert_block.h"
#include "backend/gpu/device_slots.h"
#include "backend/gpu/gpu_device.h"
#include "ggml-cpp.h"
#include "tiers/expert_store.h"

namespace hypura {

// Not thread-safe: the owner serialises. The references must outlive the object.
class ExpertWaves {
 public:
  // `store`: of the experts in `slots`.
  ExpertWaves(GpuDevice& device, DeviceSlots& slots, ExpertStore& store);

  // Computes the block, for which `routed`, [token][used], was chosen. Its layer has slots, and what comes before it in
  // the graph was handed to the device. Fails with kIo, with kInternal when ggml refused.
  Status run(const ExpertBlock& block, std::span<const uint16_t> routed, bool decode);

 private:
  // Pairs (token * used + position) and the experts that they chose.
  struct Wave {
    std::vector<uint32_t> experts;
    std::vector<int32_t> pairs;
    std::vector<int32_t> chosen;  // by pair
  };
  using Copies = std::unordered_map<const ggml_tensor*, ggml_tensor*>;

  std::vector<Wave> divide(const ExpertBlock& block, std::span<const uint16_t> routed) const;
  Status keep_inputs(const ExpertBlock& block);
  Status bring(const ExpertBlock& block, const Wave& wave, bool decode);
  Status compute(const ExpertBlock& block, const Wave& wave);
  ggml_tensor* add_node(const ExpertBlock& block, const BlockNode& it);
  ggml_tensor* gathered(const ExpertBlock& block, const ggml_tensor* source);
  ggml_tensor* row_source(const ExpertBlock& block, ggml_tensor* source);
  ggml_tensor* scattered(const ggml_tensor* node);
  ggml_tensor* numbers(std::vector<int32_t> values);
  Status finish(ggml_gallocr_t places, ggml_cgraph* graph);

  GpuDevice& device_;
  DeviceSlots& slots_;
  ExpertStore& store_;
  ggml_gallocr_ptr kept_places_;  // of the block's inputs: results may come to lie where these do
  ggml_gallocr_ptr places_;       // of a wave's own tensors

  // Of the block, and of the wave in work.
  ggml_context_ptr kept_context_;
  Copies kept_;
  ggml_context_ptr context_;
  Copies rows_;                                                        // of the block's results, for the wave's pairs
  Copies gathered_;                                                    // of its inputs
  std::vector<std::pair<ggml_tensor*, std::vector<int32_t>>> inputs_;  // to be set once they have a place
  ggml_tensor* pairs_ = nullptr;
  ggml_tensor* tokens_ = nullptr;
  ggml_tensor* slot_ids_ = nullptr;
  ggml_tensor* expert_ids_ = nullptr;
};

}  // namespace hypura
