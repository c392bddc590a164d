#include "residency/borrowed_slots.h"

#include <algorithm>

namespace hypura {

uint32_t landing_places(uint32_t experts, uint32_t used) {
  return std::min(used, experts / 2);
}

std::vector<uint32_t> borrowed_slots(std::span<const BorrowingLayer> layers) {
  std::vector<uint32_t> borrowed(layers.size(), 0);
  const auto passes = [](const BorrowingLayer& it) { return it.slots < it.experts; };
  const auto borrows = [&](const BorrowingLayer& it) { return it.pooled && passes(it); };
  const auto always = [&](const BorrowingLayer& it) { return passes(it) && it.slots < it.used; };
  const auto count = static_cast<uint32_t>(std::ranges::count_if(layers, borrows));
  if (count == 0 || std::ranges::any_of(layers, always)) {
    return borrowed;
  }
  const BorrowingLayer& any = *std::ranges::find_if(layers, borrows);
  const uint32_t places = 2 * (any.experts - landing_places(any.experts, any.used));
  for (size_t i = 0, number = 0; i < layers.size(); ++i) {
    if (borrows(layers[i])) {
      const uint32_t even = places / count + (number++ < places % count ? 1 : 0);
      borrowed[i] = std::min(even, layers[i].experts - layers[i].slots);
    }
  }
  return borrowed;
}

}  // namespace hypura
