// Where the device computes in the machine's memory: the next layer's experts are read from disk to where layers pass
// through. A read that is not wanted any more, and had begun, ends before its place is used again.
#pragma once

#include <vector>

#include "backend/gpu/direct_reads.h"
#include "backend/gpu/gpu_stats.h"
#include "backend/gpu/layer_staging.h"
#include "backend/gpu/prefetch/slot_prefetch.h"
#include "tiers/expert_store.h"

namespace hypura {

class ReadPrefetch final : public SlotPrefetch {
 public:
  // The references must outlive the object. `store`: of the experts in slots.
  ReadPrefetch(DirectReads& reads, ExpertStore& store, LayerStaging& staging, GpuStats& stats)
      : reads_(reads), store_(store), staging_(staging), stats_(stats) {}
  ~ReadPrefetch() override { settle(); }
  ReadPrefetch(const ReadPrefetch&) = delete;
  ReadPrefetch& operator=(const ReadPrefetch&) = delete;

  void begin(uint32_t layer, std::span<const ExpertPrediction> predictions) override;
  void note_chosen(uint32_t /*layer*/, std::span<const uint32_t> /*experts*/) override {}  // the store keeps the record
  bool has(uint32_t layer, uint32_t expert) const override;
  Result<std::span<ggml_tensor* const>> take(std::span<UploadItem> items) override;
  void taken() override {}  // the processors copied
  void give_way(uint32_t layer) override;
  void settle() override;

 private:
  struct Coming {
    uint32_t layer = 0;
    uint32_t expert = 0;
    ReadGroup reads = 0;
    bool there = false;
  };
  Status end(Coming& it);
  void forget();
  void end_unwanted(size_t half);

  DirectReads& reads_;
  ExpertStore& store_;
  LayerStaging& staging_;
  GpuStats& stats_;
  std::vector<Coming> coming_;    // of one layer
  std::vector<Coming> unwanted_;  // cancelled, and not ended
};

}  // namespace hypura
