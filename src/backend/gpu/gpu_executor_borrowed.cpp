// Slots that layers borrow where others pass through, as long as none does.
#include <algorithm>
#include <array>

#include "backend/gpu/gpu_executor.h"
#include "residency/borrowed_slots.h"
#include "support/fail.h"

namespace hypura {

int64_t GpuExecutor::most_by_slots(std::span<const ExpertLayer> layers) {
  constexpr std::array kFew = {GGML_TYPE_Q2_K,    GGML_TYPE_Q3_K,  GGML_TYPE_IQ2_S,
                               GGML_TYPE_IQ3_XXS, GGML_TYPE_IQ3_S, GGML_TYPE_MXFP4};
  const bool few = std::ranges::any_of(layers, [&](const ExpertLayer& layer) {
    return std::ranges::any_of(layer.parts, [&](const ExpertPart& part) {
      return std::ranges::find(kFew, static_cast<ggml_type>(part.tensor->type)) != kFew.end();
    });
  });
  return few ? 5 : 8;
}

// None where nothing would be borrowed.
Status GpuExecutor::allocate_pool(const GpuUse& use, uint32_t used) {
  if (!use.borrows || !use.stages) {
    return {};
  }
  uint64_t places = 0;
  for (const uint32_t slots : use.layer_slots) {
    places += slots;
  }
  const std::vector<bool> pooled = pooled_layers(device_.inner(), layers_, places);
  std::vector<BorrowingLayer> borrowing;
  for (uint32_t i = 0; i < layers_.size(); ++i) {
    const uint32_t experts = layers_[i].experts;
    const uint32_t slots = use.layers.has(i) ? device_layers_[i].slots : experts;  // another's takes no part
    borrowing.push_back({experts, std::min(used, experts), slots, pooled[i]});
  }
  const std::vector<uint32_t> borrowed = borrowed_slots(borrowing);
  std::vector<SlotPool::Share> shares;
  for (uint32_t i = 0; i < layers_.size(); ++i) {
    shares.push_back({borrowed[i] > 0, device_layers_[i].slots, borrowed[i]});
  }
  if (std::ranges::none_of(shares, &SlotPool::Share::pooled)) {
    return {};
  }
  auto pool = SlotPool::create(layers_, shares, landing_places(weights_.layout().experts, used), device_.inner());
  if (!pool) {
    return propagate(pool.error());
  }
  pool_ = std::move(*pool);
  return {};
}

uint32_t GpuExecutor::usable_slots(uint32_t layer) const {
  return device_layers_[layer].slots + (borrowing_ ? pool_->borrowed(layer) : 0);
}

// Behind a pass of which nothing passed through, so that what takes turns with such a pass does not come for nothing.
Status GpuExecutor::borrow() {
  if (pool_ == nullptr || borrowing_ || passed_ || blocks_.empty()) {
    return {};
  }
  if (Status status = seeds_->settle_all(); !status) {
    return status;
  }
  borrowing_ = true;
  for (uint32_t layer = 0; layer < layers_.size(); ++layer) {
    if (pool_->has(layer)) {
      store_->set_own_slots(layer, usable_slots(layer));
    }
  }
  return {};
}

void GpuExecutor::give_back() {
  passed_ = true;
  if (!borrowing_) {
    return;
  }
  borrowing_ = false;
  for (uint32_t layer = 0; layer < layers_.size(); ++layer) {
    if (pool_->has(layer)) {
      store_->set_own_slots(layer, usable_slots(layer));
      slots_->give_up(layer, usable_slots(layer));
    }
  }
  staging_->vacate();
}

}  // namespace hypura
