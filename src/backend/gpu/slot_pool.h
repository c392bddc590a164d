// Memory of a device that staging and the slots of layers share: of each matrix one tensor [ne0, ne1, places] over two
// whole layers, which pass through (layer_staging.h), and behind them the slots of all layers that are alike. A product
// chooses among the experts of one tensor: so these layers can borrow the places of the two as further slots, as long
// as nothing passes through (residency/borrowed_slots.h).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "backend/gpu/device_memory.h"
#include "tiers/slices.h"

namespace hypura {

// By layer: whether its slots lie in a pool. Those do whose experts are largest, which are alike; none where others
// would find no room in their places, where the device computes in the machine's memory, or where so many places,
// beside the two stretches, are more than a tensor may have: CUDA's kernels count the blocks of one in 31 bits
// (ggml-cuda/mmvq.cu of llama.cpp v0.5.0).
std::vector<bool> pooled_layers(ggml_backend_dev_t device, std::span<const ExpertLayer> layers, uint64_t places);

// Not thread-safe: the owner serialises.
class SlotPool {
 public:
  // A layer's part of it.
  struct Share {
    bool pooled = false;
    uint32_t slots = 0;     // of its own
    uint32_t borrowed = 0;  // at most
  };

  // `shares`: by layer, at least one of them pooled; all pooled layers are alike. Of each stretch `landing` places are
  // not borrowed. `layers` must outlive the object. Fails with kBudget.
  static Result<std::unique_ptr<SlotPool>> create(std::span<const ExpertLayer> layers, std::span<const Share> shares,
                                                  uint32_t landing, ggml_backend_dev_t device);

  bool has(uint32_t layer) const { return shares_[layer].pooled; }
  uint32_t borrowed(uint32_t layer) const { return shares_[layer].borrowed; }

  // By part: the tensors over all places.
  std::span<ggml_tensor* const> matrices() const { return matrices_; }
  uint32_t places() const { return static_cast<uint32_t>(matrices_.front()->ne[2]); }

  // Where a pooled layer's slot lies in them: its own come first, then those that it borrows.
  uint32_t place(uint32_t layer, uint32_t slot) const;

  // Gives matrices of all experts of any of `layers` their places in stretch 0 or 1. Fails with kInternal.
  Status place_whole(size_t half, std::span<ggml_tensor* const> matrices) const;

 private:
  SlotPool() = default;
  void number_places(uint32_t experts, uint32_t landing);
  Status allocate(const ExpertLayer& layer, uint32_t places, ggml_backend_dev_t device);

  uint32_t experts_ = 0;  // in a stretch
  std::vector<Share> shares_;
  std::vector<std::vector<uint32_t>> places_;  // by layer and slot
  ggml_context_ptr context_;
  std::vector<ggml_backend_buffer_ptr> buffers_;  // by part
  std::vector<ggml_tensor*> matrices_;
};

}  // namespace hypura
