#include "tiers/slot_layout.h"

#include <algorithm>

#include "tiers/direct_place.h"

namespace hypura {

SlotLayout::SlotLayout(std::span<const ExpertLayer> layers) {
  for (const ExpertLayer& layer : layers) {
    std::vector<SlotPlace>& places = places_.emplace_back();
    uint64_t begin = 0;
    for (const ExpertPart& part : layer.parts) {
      const bool needs_realign = part.slice_bytes % kDirectAlignment != 0;
      places.push_back({begin, needs_realign ? 0 : data_offset(part.tensor->extent), needs_realign});
      begin += place_capacity(part.slice_bytes);
    }
    stride_ = std::max(stride_, begin);
  }
}

}  // namespace hypura
