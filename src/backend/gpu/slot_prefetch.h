// Experts that the next layer is predicted to choose, brought closer while the device computes: those that RAM has to
// the device, those that only the disk has to RAM.
//
// What comes to the device lies where layers pass through (layer_staging.h), since a wrong prediction must move no
// slot: when the layer chooses such an expert, it is copied into a slot on the device. It counts as a prefetch, and
// never as one that was found there. Copies go on after the call; the slots of RAM that they read stay pinned until
// they ended.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/gpu/gpu_device.h"
#include "backend/gpu/gpu_stats.h"
#include "backend/gpu/layer_staging.h"
#include "residency/expert_predictor.h"
#include "tiers/expert_store.h"

namespace hypura {

// Not thread-safe: the owner serialises.
class SlotPrefetch {
 public:
  // What the object works with; all must outlive it.
  struct Parts {
    std::span<const ExpertLayer> layers;
    GpuDevice& device;
    ExpertStore& store;  // of the experts in slots of the device
    ExpertStore& below;
    LayerStaging* staging;  // nullptr: nothing comes to the device
    GpuStats& stats;
  };

  explicit SlotPrefetch(const Parts& parts);
  SlotPrefetch(const SlotPrefetch&) = delete;
  SlotPrefetch& operator=(const SlotPrefetch&) = delete;

  // Begins to bring what `layer`, the next, will choose by `predictions`, surest first. What was prefetched before is
  // forgotten. All that was asked for has been brought.
  void begin(uint32_t layer, std::span<const ExpertPrediction> predictions);

  // Whether the expert was prefetched to the device.
  bool has(uint32_t layer, uint32_t expert) const;

  // `count` of the experts are asked for: where they lie, by part, under their own numbers, for what is computed from
  // now on. taken() must follow when copies of them have begun.
  std::span<ggml_tensor* const> take(size_t count);
  void taken();

  // Something else comes to lie where they are.
  void forget() { experts_.clear(); }

  // Gives the slots of RAM back: waits for the copies.
  void settle();

 private:
  bool copies(uint32_t layer) const;
  void copy(uint32_t expert, uint32_t slot);

  Parts it_;
  ggml_backend_event_ptr landed_;
  uint32_t layer_ = 0;
  std::span<ggml_tensor* const> matrices_;
  std::vector<uint32_t> experts_;    // on the device
  std::vector<LayerExpert> pinned_;  // in RAM
  std::vector<uint32_t> from_disk_;
};

}  // namespace hypura
