// Experts that the next layer is predicted to choose, brought closer while the device computes (upload_prefetch.h,
// read_prefetch.h).
//
// What comes to the device lies where layers pass through (layer_staging.h), since a wrong prediction must move no
// slot: when the layer chooses such an expert, it is copied into a slot from there. It counts as a prefetch, and never
// as one that was found in a slot. Only what predictions are mostly right about is brought (PredictionRecord): what is
// in vain takes the link, or the disk, from what was asked for.
#pragma once

#include <cstdint>
#include <span>

#include "backend/gpu/expert_source.h"
#include "residency/expert_predictor.h"

namespace hypura {

// Not thread-safe: the owner serialises.
class SlotPrefetch {
 public:
  virtual ~SlotPrefetch() = default;

  // Begins to bring what `layer`, the next, will choose by `predictions`, surest first. What was prefetched before is
  // forgotten. All that was asked for has been brought.
  virtual void begin(uint32_t layer, std::span<const ExpertPrediction> predictions) = 0;

  // `layer` chose `experts`, ascending. At most once after begin() for it, and before any of them is brought.
  virtual void note_chosen(uint32_t layer, std::span<const uint32_t> experts) = 0;

  // Whether the expert was prefetched to the device.
  virtual bool has(uint32_t layer, uint32_t expert) const = 0;

  // Those of `items`, experts of which it has all, are asked for: where they lie, by part, for what is computed from
  // now on; the items say at which place. taken() must follow when copies of them have begun. Fails with kIo.
  virtual Result<std::span<ggml_tensor* const>> take(std::span<UploadItem> items) = 0;
  virtual void taken() = 0;

  // `layer` is about to come to lie where they are.
  virtual void give_way(uint32_t layer) = 0;

  // Ends what is on its way.
  virtual void settle() = 0;
};

}  // namespace hypura
