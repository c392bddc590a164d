#include "residency/memory_policy.h"

#include <algorithm>
#include <utility>

namespace hypura {

namespace {

uint64_t share_of(uint64_t bytes, double share) {
  return static_cast<uint64_t>(static_cast<double>(bytes) * share);
}

}  // namespace

// What is enough for this moment; `present` where that is so.
uint64_t MemoryPolicy::less(const MemoryLook& look, const MemoryBounds& bounds, uint64_t present) const {
  uint64_t wanted = present;
  if (look.affordable + share_of(bounds.most, kSlack) < present) {
    wanted = look.affordable;
  }
  if (look.pressed && look.seconds - stepped_at_ >= kBetweenSteps) {
    const uint64_t step = share_of(bounds.most - bounds.least, kStep);
    wanted = std::min(wanted, present - std::min(present, step));
  }
  return std::max(wanted, bounds.least);
}

void MemoryPolicy::note_pressure(double seconds) {
  if (std::exchange(pays_for_growth_, false)) {
    quiet_ = seconds - grown_at_ < kTooSoon ? std::min(2 * quiet_, kLongestQuiet) : kQuiet;
  }
  pressed_at_ = seconds;
}

uint64_t MemoryPolicy::next(const MemoryLook& look, const MemoryBounds& bounds, uint64_t present) {
  if (!std::exchange(began_, true)) {
    pressed_at_ = look.seconds;
  }
  const uint64_t wanted = less(look, bounds, present);
  if (wanted < present || look.pressed) {
    note_pressure(look.seconds);
  }
  if (wanted < present) {
    stepped_at_ = look.seconds;
    return wanted;
  }
  const uint64_t room = std::min(look.affordable, bounds.most);
  const uint64_t least_growth = std::max<uint64_t>(share_of(bounds.most - bounds.least, kStep / 2), 1);
  const bool quiet = look.seconds - pressed_at_ >= quiet_ && look.seconds - grown_at_ >= kBetweenGrowths;
  const uint64_t missing = bounds.most - std::min(bounds.most, present);
  if (!quiet || missing == 0 || room < present + std::min(least_growth, missing)) {
    return present;
  }
  grown_at_ = look.seconds;
  pays_for_growth_ = true;
  return std::min(room, present + std::min(missing, std::max(missing / 2, least_growth)));
}

}  // namespace hypura
