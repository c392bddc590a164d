// Slots begin with what a prompt chose last: after its layers passed through whole, the experts that its last tokens
// make worth most are copied into slots on the device, from where the layer still lies, and those worth most of the
// others go down to RAM, where it lacks them. So decoding begins warm.
//
// Which ones they are is known only behind the router. The choice is fetched in the order of the stream that computes,
// and looked at when the next layer is about to be brought, in the place of the layer before: what lies there has to
// have been computed with, which the router came behind. So nobody waits for it who would not wait anyway, and the
// device has the layer's own products to compute meanwhile.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "backend/gpu/device_memory.h"
#include "backend/gpu/device_slots.h"
#include "backend/gpu/gpu_device.h"
#include "backend/gpu/gpu_stats.h"
#include "backend/gpu/layer_staging.h"
#include "tiers/expert_store.h"

namespace hypura {

// Not thread-safe: the owner serialises.
class SlotSeeds {
 public:
  // Of a pass the last tokens say what comes next: ExpertRanking's memory fades sooner.
  static constexpr int64_t kTokens = 128;

  // What the object works with; all must outlive it.
  struct Parts {
    std::span<const ExpertLayer> layers;
    GpuDevice& device;
    DeviceSlots& slots;
    ExpertStore& store;  // of the experts in slots
    LayerStaging& staging;
    GpuStats& stats;
  };

  // `experts`: the most that a layer has. Fails with kBudget.
  static Result<std::unique_ptr<SlotSeeds>> create(const Parts& parts, uint32_t experts);

  // `ids`, i32 [experts used, tokens], are what a prompt's tokens chose in `layer`, which is about to pass through:
  // begins to fetch them; where the device computes in the machine's memory its stream was synchronised. What was
  // fetched for the same half before must be settled.
  void fetch(uint32_t layer, const ggml_tensor& ids);

  // Gives the slots of the layer that lies in `half` what its choice was fetched for, if it was. Blocks until the
  // choice is there.
  Status settle(size_t half);
  Status settle_all();

 private:
  struct Choice {
    bool pending = false;
    uint32_t layer = 0;
    int64_t used = 0;
    int64_t tokens = 0;
    size_t row_bytes = 0;  // from one token to the next
    int32_t* ids = nullptr;
    ggml_backend_event_ptr landed;
  };

  explicit SlotSeeds(const Parts& parts) : it_(parts) {}
  bool read(const Choice& choice);
  void rank(const Choice& choice);
  Status copy(uint32_t layer);
  void lower_others(uint32_t layer);

  Parts it_;
  ggml_backend_buffer_ptr host_;
  uint64_t most_bytes_ = 0;  // of one choice
  std::array<Choice, 2> choices_;

  std::vector<uint16_t> routed_;                     // [token][used]
  std::vector<std::pair<double, uint32_t>> worths_;  // with expert numbers
  std::vector<uint32_t> wanted_;                     // ascending
  std::vector<uint32_t> others_;                     // worth most first
};

}  // namespace hypura
