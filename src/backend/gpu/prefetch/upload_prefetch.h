// What RAM has comes to the device, and what only the disk has to RAM. Copies go on after the call; the slots of RAM
// that they read stay pinned until they ended. Of both there is a record of their own: what neither tier has is chosen
// less often than what only the device has not.
#pragma once

#include <vector>

#include "backend/gpu/gpu_device.h"
#include "backend/gpu/gpu_stats.h"
#include "backend/gpu/layer_staging.h"
#include "backend/gpu/prefetch/slot_prefetch.h"
#include "residency/prediction_record.h"
#include "tiers/expert_store.h"

namespace hypura {

class UploadPrefetch final : public SlotPrefetch {
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

  explicit UploadPrefetch(const Parts& parts);

  void begin(uint32_t layer, std::span<const ExpertPrediction> predictions) override;
  void note_chosen(uint32_t layer, std::span<const uint32_t> experts) override;
  bool has(uint32_t layer, uint32_t expert) const override;
  Result<std::span<ggml_tensor* const>> take(std::span<UploadItem> items) override;
  void taken() override;
  void give_way(uint32_t /*layer*/) override { experts_.clear(); }

  // Gives the slots of RAM back: waits for the copies.
  void settle() override;

 private:
  // A prediction of an expert that only the disk has.
  struct Absent {
    uint32_t expert = 0;
    size_t place = 0;  // among the layer's predictions
  };

  bool copies(uint32_t layer) const;
  void copy(uint32_t expert, uint32_t slot);

  Parts it_;
  ggml_backend_event_ptr landed_;
  uint32_t layer_ = 0;
  LayerStaging::Landing landing_;
  std::vector<uint32_t> experts_;    // on the device, in its places, in their order
  std::vector<LayerExpert> pinned_;  // in RAM
  std::vector<Absent> absent_;
  size_t predicted_ = 0;             // for the layer
  PredictionRecord disk_record_;     // of those that are absent_
  std::vector<uint32_t> from_disk_;  // of them, read
};

}  // namespace hypura
